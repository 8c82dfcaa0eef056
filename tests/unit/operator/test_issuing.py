"""Certificates of gateways that bring none: what is kept, what is issued anew, and what is reported."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from smtp_gateway.config.certificate import LEAF_LIFETIME, names_of
from smtp_gateway_operator.issuing import AuthorityDamagedError, admin, authority, leaf, pair_of, server_names
from smtp_gateway_operator.names import AUTHORITY, TLS_CERTIFICATE, TLS_KEY, pod_address
from tests.unit.operator.setting import NOW, OWNER

if TYPE_CHECKING:
    from datetime import datetime

HOSTNAME = "mail.example.com"
LATER = NOW + LEAF_LIFETIME


def encoded(content: bytes) -> str:
    """Return *content* as a Secret holds it."""
    return base64.b64encode(content).decode()


def damaged(secret: dict[str, Any], **files: str | None) -> dict[str, Any]:
    """Return *secret* with some of its files replaced, or gone."""
    data = secret["data"] | {name.replace("_", "."): content for name, content in files.items()}
    return secret | {"data": {name: content for name, content in data.items() if content is not None}}


def another_keys_kind() -> str:
    """Return a private key that is a key, but of a kind that the authority's is not."""
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return encoded(ed25519.Ed25519PrivateKey.generate().private_bytes(*pem))


def issued(signer: dict[str, Any], present: dict[str, Any] | None, now: datetime = NOW, hostname: str = HOSTNAME) -> dict[str, Any]:
    """Return the listeners' certificate at *now*."""
    return leaf(OWNER, hostname, (signer, present), now)


@pytest.fixture
def signer() -> dict[str, Any]:
    """The Secret of a new authority."""
    return authority(OWNER, None, NOW)


def test_an_authority_is_made_once_and_kept(signer: dict[str, Any]) -> None:
    """It may sign certificates; given back to the decision at any time, it is the same to the octet."""
    certificate = x509.load_pem_x509_certificate(pair_of(signer).certificate)

    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is True
    assert authority(OWNER, signer, LATER) == signer
    assert authority(OWNER, None, NOW)["data"] != signer["data"]


def test_a_certificate_is_good_for_every_name_and_signed_by_the_authority(signer: dict[str, Any]) -> None:
    """Clients reach the gateway by its own name, by the Service's and by a pod's, and trust what `ca.crt` beside it says."""
    secret = issued(signer, None)

    assert names_of(pair_of(secret)) == (
        "mail.example.com",
        "mail",
        "mail.apps",
        "mail.apps.svc",
        "mail.apps.svc.cluster.local",
        "*.mail-pods.apps.svc",
        "*.mail-pods.apps.svc.cluster.local",
    )
    assert secret["data"][AUTHORITY] == signer["data"][TLS_CERTIFICATE]
    trusted = x509.load_pem_x509_certificate(pair_of(signer).certificate)
    x509.load_pem_x509_certificate(pair_of(secret).certificate).verify_directly_issued_by(trusted)


def test_the_admin_certificate_is_good_for_each_pod_and_a_server_only(signer: dict[str, Any]) -> None:
    """The operator asks a pod by its own name; no listener's name is in it, and nobody can show it as a client."""
    secret = admin(OWNER, (signer, None), NOW)
    certificate = x509.load_pem_x509_certificate(pair_of(secret).certificate)

    assert secret["metadata"]["name"] == "mail-admin"
    assert names_of(pair_of(secret)) == ("*.mail-pods.apps.svc",)
    assert pod_address(OWNER, "mail-0") == "mail-0.mail-pods.apps.svc"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_admin_certificate_is_kept_and_renewed_like_the_listeners(signer: dict[str, Any]) -> None:
    """The same to the octet before two thirds of its life, another one after it."""
    first = admin(OWNER, (signer, None), NOW)

    assert admin(OWNER, (signer, first), NOW + LEAF_LIFETIME * 0.66) == first
    assert admin(OWNER, (signer, first), LATER)["data"][TLS_KEY] != first["data"][TLS_KEY]


def test_no_name_is_told_twice() -> None:
    """A gateway may be called by its Service's name."""
    found = server_names(OWNER, "mail.apps.svc")

    assert len(found) == len(set(found))


def test_a_certificate_is_renewed_after_two_thirds_of_its_life(signer: dict[str, Any]) -> None:
    """Before that it is kept to the octet; after it there is a new one from the same authority."""
    first = issued(signer, None)

    assert issued(signer, first, NOW + LEAF_LIFETIME * 0.66) == first
    renewed = issued(signer, first, NOW + LEAF_LIFETIME * 0.67)
    assert renewed["data"][TLS_KEY] != first["data"][TLS_KEY]
    assert renewed["data"][AUTHORITY] == first["data"][AUTHORITY]


def test_a_certificate_follows_its_names(signer: dict[str, Any]) -> None:
    """Another hostname is another certificate, at once."""
    renewed = issued(signer, issued(signer, None), hostname="smtp.example.com")

    assert names_of(pair_of(renewed))[0] == "smtp.example.com"


def test_a_certificate_follows_its_authority(signer: dict[str, Any]) -> None:
    """When a new authority was made, what the old one signed is of no use."""
    successor = authority(OWNER, None, NOW)

    renewed = issued(successor, issued(signer, None))

    assert renewed["data"][AUTHORITY] == successor["data"][TLS_CERTIFICATE]
    trusted = x509.load_pem_x509_certificate(pair_of(successor).certificate)
    x509.load_pem_x509_certificate(pair_of(renewed).certificate).verify_directly_issued_by(trusted)


@pytest.mark.parametrize("files", [{"tls_key": None}, {"tls_crt": "***"}, {"tls_crt": encoded(b"nonsense")}, {"ca_crt": None}])
def test_a_damaged_certificate_is_replaced(signer: dict[str, Any], files: dict[str, str | None]) -> None:
    """Nobody was told to trust the certificate itself, so it is simply issued anew."""
    mended = issued(signer, damaged(issued(signer, None), **files))

    assert names_of(pair_of(mended)) == server_names(OWNER, HOSTNAME)
    assert mended["data"][AUTHORITY] == signer["data"][TLS_CERTIFICATE]


@pytest.mark.parametrize("files", [{"tls_crt": None}, {"tls_key": None}, {"tls_key": "***"}, {"tls_crt": None, "tls_key": None}])
def test_an_authority_without_its_parts_is_reported(signer: dict[str, Any], files: dict[str, str | None]) -> None:
    """It is named and not made anew, because clients trust the one that there was."""
    with pytest.raises(AuthorityDamagedError, match=r"Secret mail-ca does not hold tls\.crt and tls\.key"):
        authority(OWNER, damaged(signer, **files), NOW)


@pytest.mark.parametrize("files", [{"tls_key": encoded(b"nonsense")}, {"tls_crt": encoded(b"nonsense")}, {"tls_key": another_keys_kind()}])
def test_an_authority_that_cannot_sign_is_reported(signer: dict[str, Any], files: dict[str, str | None]) -> None:
    """The message says which Secret and nothing of what it holds."""
    broken = damaged(signer, **files)

    assert authority(OWNER, broken, NOW)["data"] == broken["data"]
    with pytest.raises(AuthorityDamagedError) as told:
        issued(broken, None)
    assert str(told.value) == "Secret mail-ca does not hold a usable certificate authority"


def test_an_authority_that_cannot_sign_matters_when_it_has_to(signer: dict[str, Any]) -> None:
    """A certificate that is still good is served on while the authority's key is lost."""
    present = issued(signer, None)
    broken = damaged(signer, tls_key=encoded(b"nonsense"))

    assert issued(broken, present) == present
    with pytest.raises(AuthorityDamagedError):
        issued(broken, present, LATER)
