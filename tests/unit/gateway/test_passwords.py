from __future__ import annotations

import bcrypt
import pytest
from argon2 import PasswordHasher

from smtp_gateway.config.hashes import Hashed, hashed
from smtp_gateway.policy.passwords import matches

ARGON2 = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
LONG = b"x" * 72


def by_argon2(password: bytes) -> Hashed:
    """Hash *password* with argon2id, as cheaply as may be."""
    found = hashed(ARGON2.hash(password))
    assert found is not None
    return found


def by_bcrypt(password: bytes, prefix: str = "2b") -> Hashed:
    """Hash *password* with bcrypt, as cheaply as may be."""
    found = hashed(bcrypt.hashpw(password, bcrypt.gensalt(4)).decode().replace("$2b$", f"${prefix}$", 1))
    assert found is not None
    return found


@pytest.mark.parametrize("password", [b"secret", "paßwort".encode(), b" ", b"\xff\xfe", b"a\x00b", b"t" * 71])
def test_the_right_password_matches(password: bytes) -> None:
    """Whatever octets it has; and any other does not."""
    for known in (by_argon2(password), by_bcrypt(password)):
        assert matches(known, password)
        assert not matches(known, password + b"x")
        assert not matches(known, password[:-1])
        assert not matches(known, b"")


@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
def test_the_prefixes_of_bcrypt_are_the_same(prefix: str) -> None:
    """`htpasswd` writes 2y, older programs 2a."""
    assert matches(by_bcrypt(b"secret", prefix), b"secret")


def test_a_password_is_not_right_by_its_beginning() -> None:
    """Bcrypt looks at 72 octets: a longer password is refused, where some programs would take any with the same beginning."""
    assert matches(by_bcrypt(LONG), LONG)
    assert not matches(by_bcrypt(LONG), LONG + b"y")


def test_tokens_of_thousands_of_octets_can_be_hashed() -> None:
    """With argon2id, which looks at all of them."""
    token = b"t" * 8000

    assert matches(by_argon2(token), token)
    assert not matches(by_argon2(token), token + b"t")
