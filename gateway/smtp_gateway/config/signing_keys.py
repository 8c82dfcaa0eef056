"""Keys of DKIM signatures (RFC 6376, RFC 8463): read from PEM, made, and written as the DNS record that publishes their public half.

What can be wrong with a key is told as one `SigningKeyError`, without any of the key. Pure but for the random keys.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

SigningKey = RSAPrivateKey | Ed25519PrivateKey

SHORTEST_RSA = 1024
"""Bits: "Signers MUST use RSA keys of at least 1024 bits for all keys" (RFC 8301 section 3.2)."""
GOOD_RSA = 2048
"""Bits: "Signers SHOULD use RSA keys of at least 2048 bits" (the same section)."""
LONGEST_RSA = 4096
"""Bits: "Verifiers MUST be able to validate signatures with keys ranging from 1024 bits to 4096 bits" (the same section), and no others."""
STRING = 255
"""Octets of one string of a TXT record (RFC 1035 section 3.3.14); verifiers join them (RFC 6376 section 3.6.2.2)."""
READ = 128
"""Keys that are remembered."""
_EXPONENT = 65537
"""The public exponent that everybody uses."""
_PROBE = b"v=1"


class SigningKeyError(ValueError):
    """A key cannot sign mail; the message says why, as what follows the key's name."""


@lru_cache(maxsize=READ)
def read(pem: bytes) -> SigningKey:
    """Return the private key in *pem*: PKCS#8, or PKCS#1 for RSA. Raises `SigningKeyError`.

    That it signs what its public half verifies is tried out, in a millisecond; OpenSSL's own check of an RSA key takes fifty. An operator
    reads the same keys with each reconcile, so those read last are remembered.
    """
    key = _checked_kind(_load(pem))
    try:
        if isinstance(key, RSAPrivateKey):
            key.public_key().verify(signature(key, _PROBE), _PROBE, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError) as error:
        message = "is damaged: its halves do not belong together"
        raise SigningKeyError(message) from error
    return key


def _load(pem: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    except TypeError as error:
        message = "is encrypted with a passphrase, which nobody could type in"
        raise SigningKeyError(message) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        message = "is not a private key in PEM (PKCS#8, or PKCS#1 for RSA)"
        raise SigningKeyError(message) from error


def _checked_kind(key: PrivateKeyTypes) -> SigningKey:
    if isinstance(key, Ed25519PrivateKey):
        return key
    if not isinstance(key, RSAPrivateKey):
        message = "is of another kind than DKIM knows: RSA (RFC 6376) or Ed25519 (RFC 8463) is needed"
        raise SigningKeyError(message)
    if not SHORTEST_RSA <= key.key_size <= LONGEST_RSA:
        message = (
            f"has {key.key_size} bits: an RSA key of DKIM has {SHORTEST_RSA} to {LONGEST_RSA}, and at least {GOOD_RSA} if it is to be safe"
        )
        raise SigningKeyError(message)
    return key


def new(kind: str) -> bytes:
    """Return a new private key, `rsa` (of 2048 bits) or `ed25519`, as PKCS#8 in PEM."""
    key = Ed25519PrivateKey.generate() if kind == "ed25519" else generate_private_key(_EXPONENT, GOOD_RSA)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def algorithm(key: SigningKey) -> str:
    """Return what `a=` of a signature says (RFC 6376 section 3.3, RFC 8463 section 3)."""
    return "ed25519-sha256" if isinstance(key, Ed25519PrivateKey) else "rsa-sha256"


def signature(key: SigningKey, octets: bytes) -> bytes:
    """Return the signature of *octets*, the same each time: RSASSA-PKCS1-v1_5, or PureEdDSA of their SHA-256 (RFC 8463 section 3)."""
    if isinstance(key, Ed25519PrivateKey):
        digest = hashes.Hash(hashes.SHA256())
        digest.update(octets)
        return key.sign(digest.finalize())
    return key.sign(octets, padding.PKCS1v15(), hashes.SHA256())


def described(key: SigningKey) -> str:
    """Return what kind of key it is, for people: `RSA-2048` or `Ed25519`."""
    return "Ed25519" if isinstance(key, Ed25519PrivateKey) else f"RSA-{key.key_size}"


def weak(key: SigningKey) -> bool:
    """Tell whether a key is shorter than it should be, though some verifiers take it."""
    return isinstance(key, RSAPrivateKey) and key.key_size < GOOD_RSA


def record_name(domain: str, selector: str) -> str:
    """Return where the public half is published (RFC 6376 section 3.6.2.1), without the dot at its end."""
    return f"{selector}._domainkey.{domain}"


def record(key: SigningKey) -> str:
    """Return the TXT record of *key*'s public half as one text (RFC 6376 section 3.6.1, RFC 8463 section 4)."""
    public = key.public_key()
    if isinstance(key, Ed25519PrivateKey):
        kind, octets = "ed25519", public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    else:
        kind, octets = "rsa", public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k={kind}; p={base64.b64encode(octets).decode()}"


def zone_line(domain: str, selector: str, key: SigningKey) -> str:
    """Return the record as a line of a zone file (RFC 1035 section 5.1), in strings of at most `STRING` octets."""
    text = record(key)
    strings = " ".join(f'"{text[at : at + STRING]}"' for at in range(0, len(text), STRING))
    return f"{record_name(domain, selector)}. IN TXT ( {strings} )"
