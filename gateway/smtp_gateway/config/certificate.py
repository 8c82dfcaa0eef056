"""Certificates for gateways that bring none: ECDSA P-256, because the handshake dominates a short session and P-256 halves it.

Pure but for the random keys: times are given.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=90)
"""As long as the public ACME authorities give: short enough that renewal is exercised, long enough for a quiet quarter."""
BACKDATED = timedelta(minutes=5)
"""How far validity starts in the past, for clients whose clock is slow."""
COMMON_NAME_LENGTH = 64
"""The upper bound of a common name (RFC 5280 appendix A.1, ub-common-name)."""

_KEY_TYPES = (
    (rsa.RSAPublicKey, "RSA"),
    (ec.EllipticCurvePublicKey, "ECDSA"),
    (ed25519.Ed25519PublicKey, "Ed25519"),
    (ed448.Ed448PublicKey, "Ed448"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def new_authority(name: str, now: datetime) -> Pair:
    """Return a certificate authority called *name*, valid for ten years from *now* (aware)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    usage = x509.KeyUsage(**_usage(signs_certificates=True))
    certificate = (
        _builder(subject, subject, key, (now, AUTHORITY_LIFETIME))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue(authority: Pair, names: Sequence[str], now: datetime) -> Pair:
    """Return a server certificate for *names* (DNS names or IP addresses), signed by *authority* and valid for 90 days."""
    signer, signing_key = _signer(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _leaf(_builder(_subject(names[0]), signer, key, (now, LEAF_LIFETIME)), names)
    return _pair(_signed(builder, signing_key), key)


def issue_client(authority: Pair, name: str, now: datetime) -> Pair:
    """Return a certificate with which the client *name* shows itself, signed by *authority*; no server can be run with it."""
    signer, signing_key = _signer(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _purpose(_builder(_subject(name), signer, key, (now, LEAF_LIFETIME)), ExtendedKeyUsageOID.CLIENT_AUTH)
    return _pair(_signed(builder, signing_key), key)


def self_signed(names: Sequence[str], now: datetime) -> Pair:
    """Return a server certificate for *names* that vouches for itself, for a gateway without a cluster."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(names[0])
    return _pair(_leaf(_builder(subject, subject, key, (now, LEAF_LIFETIME)), names).sign(key, hashes.SHA256()), key)


def renewal_due(pair: Pair, now: datetime) -> bool:
    """Tell whether two thirds of the certificate's life have passed at *now*; true for one that cannot be read."""
    life = validity(pair.certificate)
    return life is None or now >= life[0] + (life[1] - life[0]) * 2 / 3


def validity(certificate: bytes) -> tuple[datetime, datetime] | None:
    """Return from when to when the first certificate in *certificate* (PEM) is valid; None when it cannot be read."""
    try:
        read = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        return None
    return read.not_valid_before_utc, read.not_valid_after_utc


def certificates_in(text: bytes) -> bytes:
    """Return the certificates in *text* (PEM) without the comments that people write beside them; nothing when one cannot be read."""
    try:
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in x509.load_pem_x509_certificates(text))
    except ValueError:
        return b""


def belongs(pair: Pair) -> bool:
    """Tell whether the key is that of the (first) certificate; false when either cannot be read, or the key wants a passphrase."""
    try:
        key = serialization.load_pem_private_key(pair.key, password=None)
        return x509.load_pem_x509_certificate(pair.certificate).public_key() == key.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def signed_by(certificate: bytes, authority: bytes) -> bool:
    """Tell whether *authority* signed *certificate* (both PEM); false when either cannot be read."""
    try:
        x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def not_after(certificate: bytes) -> datetime | None:
    """Return when the first certificate of *certificate* (PEM) expires; None for one that cannot be read."""
    life = validity(certificate)
    return None if life is None else life[1]


def expires_first(certificates: Sequence[bytes]) -> datetime | None:
    """Return when the first of *certificates* (PEM) to expire does; None when one of them cannot be read."""
    ends = [not_after(certificate) for certificate in certificates]
    known = [end for end in ends if end is not None]
    return min(known) if len(known) == len(ends) else None


def key_type(certificate: bytes) -> str:
    """Return what kind of key the first certificate in *certificate* (PEM) has: as OpenSSL tells them apart, whatever their size."""
    try:
        key = x509.load_pem_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "unknown"
    return next((name for kind, name in _KEY_TYPES if isinstance(key, kind)), "unknown")


def names_of(pair: Pair) -> tuple[str, ...]:
    """Return the subject alternative names of the certificate, in its order; none for one that cannot be read."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return ()
    return tuple(str(name.value) for name in names)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, validity: tuple[datetime, timedelta]
) -> x509.CertificateBuilder:
    begin, lifetime = validity
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - BACKDATED)
        .not_valid_after(begin + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _leaf(builder: x509.CertificateBuilder, names: Sequence[str]) -> x509.CertificateBuilder:
    named = builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
    return _purpose(named, ExtendedKeyUsageOID.SERVER_AUTH)


def _purpose(builder: x509.CertificateBuilder, purpose: x509.ObjectIdentifier) -> x509.CertificateBuilder:
    """Limit a certificate to one side of a handshake: what a listener shows opens no port that asks clients for certificates."""
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**_usage(signs_certificates=False)), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Sign with an authority's key, and name it: an authority and its successor bear one name (RFC 5280 section 4.2.1.1)."""
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256())


def _signer(authority: Pair) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    """Return the authority's name and key. Raises `ValueError` or `TypeError` when it cannot sign."""
    key = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        message = "the authority's key is not an elliptic-curve key"
        raise TypeError(message)
    return x509.load_pem_x509_certificate(authority.certificate).subject, key


def _usage(*, signs_certificates: bool) -> dict[str, bool]:
    """Return the key usage bits (RFC 5280 section 4.2.1.3): a CA signs certificates, a server signs handshakes."""
    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only")
    return dict.fromkeys(unused, False) | {
        "digital_signature": not signs_certificates,
        "key_cert_sign": signs_certificates,
        "crl_sign": signs_certificates,
    }


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:COMMON_NAME_LENGTH])])


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
