"""Certificates as an attacker would have them: whatever name, whoever signs."""

from __future__ import annotations

import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_KEY = ec.generate_private_key(ec.SECP256R1())
"""One for all: it is the names that matter."""


@dataclass(frozen=True, slots=True)
class Forged:
    """What a certificate says."""

    names: tuple[str, ...] = ()
    """The dNSNames among its subject alternative names; none: it has no such extension."""
    common_name: str = "a server"
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH


class Signer:
    """An authority, or whoever behaves like one."""

    def __init__(self, above: Signer | None = None, forged: Forged | None = None) -> None:
        """Be an authority of its own, or the bearer of a server's certificate *forged* that *above* signed."""
        self._above = above
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = forged.common_name if forged else "An authority"
        self.certificate = (above or self).sign(forged or Forged(common_name=self._name), self._key, authority=forged is None)

    def sign(self, forged: Forged, key: ec.EllipticCurvePrivateKey = _KEY, *, authority: bool = False) -> x509.Certificate:
        """Sign *key* with what *forged* says."""
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder(_name(self._name), _name(forged.common_name), key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            builder = builder.add_extension(x509.ExtendedKeyUsage([forged.purpose]), critical=False)
        if forged.names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in forged.names]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def server(self, forged: Forged) -> ssl.SSLContext:
        """Return the context of a server with that certificate, and those above it but the authority's."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        chain = [self.sign(forged), *([self.certificate] if self._above else [])]
        key = _KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        with TemporaryDirectory() as folder:
            path = Path(folder) / "pair.pem"
            path.write_bytes(key + b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain))
            context.load_cert_chain(path)
        return context

    def trusting(self) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority, as the gateway makes it."""
        return ssl.create_default_context(cadata=self.certificate.public_bytes(serialization.Encoding.PEM).decode())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
