"""Keys of DKIM: which are taken, what is said of the others, and the record that publishes them."""

from __future__ import annotations

import base64
import re

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from smtp_gateway.config import signing_keys
from smtp_gateway.config.signing_keys import SigningKeyError
from tests.support.signing import ED25519_OF_THE_RFC

PEM, PKCS8, PKCS1 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
OPEN = serialization.NoEncryption()


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Return a new key."""
    return rsa.generate_private_key(65537, bits)


@pytest.mark.parametrize("shape", [PKCS8, PKCS1])
def test_rsa_keys_are_read_in_both_shapes(shape: serialization.PrivateFormat) -> None:
    """PKCS#8 as OpenSSL 3 writes it, PKCS#1 as opendkim-genkey does."""
    key = signing_keys.read(rsa_key(1024).private_bytes(PEM, shape, OPEN))

    assert (signing_keys.described(key), signing_keys.algorithm(key)) == ("RSA-1024", "rsa-sha256")


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_new_key_is_one_that_can_be_read(kind: str) -> None:
    """And RSA has the 2048 bits that RFC 8301 recommends."""
    key = signing_keys.read(signing_keys.new(kind))

    assert signing_keys.described(key) == {"rsa": "RSA-2048", "ed25519": "Ed25519"}[kind]


def test_the_key_of_rfc_8463_has_the_record_of_rfc_8463() -> None:
    """Appendix A.2."""
    key = signing_keys.read(ED25519_OF_THE_RFC)

    assert signing_keys.record(key) == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert signing_keys.zone_line("football.example.com", "brisbane", key) == (
        'brisbane._domainkey.football.example.com. IN TXT ( "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" )'
    )


def test_a_long_record_is_several_strings() -> None:
    """None is longer than DNS allows, and together they are the record."""
    key = signing_keys.read(signing_keys.new("rsa"))
    strings = re.findall(r'"([^"]*)"', signing_keys.zone_line("example.com", "k1", key))

    assert len(strings) == 2
    assert max(map(len, strings)) <= 255
    assert "".join(strings) == signing_keys.record(key)
    serialization.load_der_public_key(base64.b64decode(signing_keys.record(key).partition("p=")[2]))


def test_keys_that_cannot_sign_are_refused_with_a_sentence() -> None:
    """Too short, of another kind, with a passphrase, or none at all; without any of the key."""
    pem = signing_keys.new("rsa")
    for broken, sentence in (
        (rsa_key(1024).private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"x")), "is encrypted"),
        (ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, PKCS8, OPEN), "is of another kind than DKIM knows"),
        (b"", "is not a private key in PEM"),
        (pem[: len(pem) // 2], "is not a private key in PEM"),
        (
            Ed25519PrivateKey.generate().public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            "is not a private key",
        ),
    ):
        with pytest.raises(SigningKeyError, match=sentence):
            signing_keys.read(broken)


@pytest.mark.parametrize(("bound", "bits"), [("SHORTEST_RSA", 1025), ("LONGEST_RSA", 1023)])
def test_rsa_keys_of_other_lengths_than_verifiers_know_are_refused(bound: str, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8301: 1024 to 4096 bits; here the bounds are moved, because nothing makes shorter keys any more and longer ones take seconds."""
    assert (signing_keys.SHORTEST_RSA, signing_keys.LONGEST_RSA) == (1024, 4096)
    monkeypatch.setattr(signing_keys, bound, bits)

    with pytest.raises(SigningKeyError, match="has 1024 bits"):
        signing_keys.read(rsa_key(1024).private_bytes(PEM, PKCS8, OPEN))


def test_a_key_whose_halves_do_not_belong_together_is_refused() -> None:
    """What it signs would never verify."""
    mine = rsa_key(1024).private_numbers()
    mixed = rsa.RSAPrivateNumbers(mine.p, mine.q, mine.d - 2, mine.dmp1 - 2, mine.dmq1, mine.iqmp, mine.public_numbers)

    with pytest.raises(SigningKeyError, match="is damaged"):
        signing_keys.read(mixed.private_key(unsafe_skip_rsa_key_validation=True).private_bytes(PEM, PKCS8, OPEN))
