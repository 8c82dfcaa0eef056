"""Certificates: what they are good for, and when they are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smtp_gateway.config.certificate import (
    LEAF_LIFETIME,
    Pair,
    issue,
    issue_client,
    names_of,
    new_authority,
    not_after,
    renewal_due,
    self_signed,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_leaf_is_signed_by_its_authority_for_its_names() -> None:
    """The certificate names every host and address, is ECDSA P-256, and chains to the authority."""
    authority = new_authority("mail", NOW)

    leaf = issue(authority, ["mail.example.com", "mail.ns.svc", "*.mail-pods.ns.svc", "192.0.2.1"], NOW)

    assert names_of(leaf) == ("mail.example.com", "mail.ns.svc", "*.mail-pods.ns.svc", "192.0.2.1")
    certificate = x509.load_pem_x509_certificate(leaf.certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)


def test_servers_and_clients_cannot_stand_in_for_each_other() -> None:
    """Each certificate is for one purpose."""
    authority = new_authority("mail", NOW)

    for leaf, purpose in ((issue(authority, ["a.example"], NOW), "serverAuth"), (issue_client(authority, "operator", NOW), "clientAuth")):
        usage = x509.load_pem_x509_certificate(leaf.certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        assert [one._name for one in usage.value] == [purpose]  # noqa: SLF001 the library's only name of it


def test_when_a_certificate_expires_can_be_read() -> None:
    """Of the first one in a chain; None for what is none."""
    authority = new_authority("mail", NOW)
    leaf = issue(authority, ["mail.example.com"], NOW)

    assert not_after(leaf.certificate + authority.certificate) == NOW + LEAF_LIFETIME
    assert not_after(b"not a certificate") is None


def test_renewal_is_due_after_two_thirds() -> None:
    """A certificate is renewed while a third of its life is left."""
    leaf = issue(new_authority("mail", NOW), ["mail.example.com"], NOW)

    assert not renewal_due(leaf, NOW)
    assert not renewal_due(leaf, NOW + LEAF_LIFETIME * 0.66)
    assert renewal_due(leaf, NOW + LEAF_LIFETIME * 0.67)


def test_what_cannot_be_read_is_due() -> None:
    """A damaged certificate has no names and is due at once."""
    damaged = Pair(b"not a certificate", b"")

    assert renewal_due(damaged, NOW)
    assert names_of(damaged) == ()


def test_a_self_signed_pair_vouches_for_itself() -> None:
    """Without an authority the certificate is its own issuer, and no authority for others."""
    certificate = x509.load_pem_x509_certificate(self_signed(["mail.example.com"], NOW).certificate)

    certificate.verify_directly_issued_by(certificate)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc - timedelta(days=80)


def test_a_long_name_is_cut_in_the_subject_only() -> None:
    """A common name holds 64 characters; the alternative names hold the whole."""
    name = f"{'x' * 60}.{'y' * 60}.example.com"

    assert names_of(self_signed([name], NOW)) == (name,)
