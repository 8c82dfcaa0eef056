"""What a smarthost is believed by and what it is shown: from the resource and its Secrets into the configuration."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError

from smtp_gateway.config import model
from smtp_gateway.config.certificate import Pair, issue_client, new_authority
from smtp_gateway.config.rendered import load
from smtp_gateway.config.resource import SecretContentError, configured, referenced_secrets
from smtp_gateway.config.resource.identifying import client_certificate_of
from tests.support.gateway import write_config
from tests.support.resources import gateway, refusal, secret

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 27, tzinfo=UTC)
AUTHORITY = new_authority("provider", NOW)
PAIR, OTHER = (issue_client(AUTHORITY, "gateway", NOW) for _ in range(2))
KEY = PAIR.key.decode()


def holding(pair: Pair) -> dict[str, Any]:
    """Return a Secret of *pair*, with the comments that people write beside certificates."""
    return secret({"tls.crt": b"# ours\n" + pair.certificate, "tls.key": pair.key}, "kubernetes.io/tls")


def routed(**hop: Any) -> list[dict[str, Any]]:
    """Return routes of one smarthost."""
    return [{"name": "default", "smarthosts": [{"host": "smtp.example"} | hop]}]


SHOWN = routed(clientCertificateRef={"name": "ours"}, authorityRef={"name": "theirs"}, credentialsRef={"name": "provider"})
SECRETS = {
    "ours": holding(PAIR),
    "theirs": secret({"ca.crt": AUTHORITY.certificate}),
    "provider": secret({"username": b"u", "password": b"p"}),
}


def test_a_smarthost_has_what_its_secrets_hold(tmp_path: Path) -> None:
    """And pods are told, the key included."""
    given = gateway(routes=SHOWN)
    config = configured(given, SECRETS)
    (smarthost,) = config.routes[0].smarthosts
    write_config(tmp_path, config)

    assert set(referenced_secrets(given)) == {"ours", "theirs", "provider"}
    assert smarthost.authority == AUTHORITY.certificate.decode()
    assert smarthost.client_certificate == model.ClientCertificate(identity="app-logins", chain=PAIR.certificate.decode(), key=KEY)
    assert load(tmp_path) == config


def test_the_key_is_not_shown() -> None:
    """By no text of a model."""
    config = configured(gateway(routes=SHOWN), SECRETS)

    assert not [shown for shown in (repr(config), str(config), config.model_dump_json()) if KEY.splitlines()[1] in shown]


def test_what_else_is_in_the_secret_is_not_read() -> None:
    """Such as the keystores that cert-manager writes beside the pair, which are no text."""
    beside = secret({"tls.crt": PAIR.certificate, "tls.key": PAIR.key, "keystore.p12": b"\x30\x82\xff"}, "kubernetes.io/tls")

    assert client_certificate_of(beside) == client_certificate_of(holding(PAIR))


ENCRYPTED = serialization.load_pem_private_key(PAIR.key, None).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"a passphrase")
)
UNUSABLE = "Secret app-logins has no usable client certificate: tls.key is not the key, without a passphrase, of tls.crt"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"tls.crt": PAIR.certificate}, "Secret app-logins has no tls.key, which a client certificate needs"),
        ({"tls.key": PAIR.key, "tls.crt": b""}, "Secret app-logins has no tls.crt, which a client certificate needs"),
        ({}, "Secret app-logins has no tls.crt and no tls.key, which a client certificate needs"),
        ({"tls.crt": PAIR.certificate, "tls.key": OTHER.key}, UNUSABLE),
        ({"tls.crt": PAIR.certificate, "tls.key": ENCRYPTED}, UNUSABLE),
        ({"tls.crt": PAIR.certificate, "tls.key": b"no key"}, UNUSABLE),
        ({"tls.crt": b"no certificate", "tls.key": PAIR.key}, UNUSABLE),
        ({"tls.crt": b"\xff", "tls.key": PAIR.key}, "Secret app-logins holds a value that is not text in UTF-8"),
    ],
)
def test_a_secret_that_holds_no_client_certificate(data: dict[str, bytes], sentence: str) -> None:
    """Is found before mail waits for it, and told without its contents."""
    with pytest.raises(SecretContentError) as refused:
        client_certificate_of(secret(data))

    assert str(refused.value) == sentence


def test_a_secret_that_holds_no_authority() -> None:
    """The same."""
    with pytest.raises(SecretContentError, match=r"^Secret app-logins has no certificate under ca\.crt$"):
        configured(gateway(routes=SHOWN), SECRETS | {"theirs": secret({"ca.crt": b"no certificate"})})


@pytest.mark.parametrize(
    ("hop", "sentence"),
    [
        (
            {"tls": "Opportunistic", "clientCertificateRef": {"name": "ours"}},
            "a certificate is shown under TLS only: with clientCertificateRef, tls must be Verify or Required",
        ),
        (
            {"tls": "Required", "authorityRef": {"name": "theirs"}},
            "authorityRef needs tls: Verify; otherwise nobody asks who signed the server's certificate",
        ),
    ],
)
def test_what_would_do_nothing_is_refused(hop: dict[str, Any], sentence: str) -> None:
    """By a rule of the resource."""
    assert refusal(routes=routed(**hop)) == f"spec.routes[0].smarthosts[0]: {sentence}"


@pytest.mark.parametrize(
    "hop",
    [
        {"tls": "Opportunistic", "client_certificate": client_certificate_of(holding(PAIR))},
        {"tls": "Required", "authority": AUTHORITY.certificate.decode()},
    ],
)
def test_pods_refuse_it_too(hop: dict[str, Any]) -> None:
    """In what they are told."""
    with pytest.raises(ValidationError):
        model.Smarthost(host="smtp.example", **hop)
