from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from smtp_gateway.config.hashes import ARGON2_MEMORY, ARGON2_PASSES, BCRYPT_COST, Hashed, HashError, Scheme, hashed
from smtp_gateway.config.model import Login

SALT, DIGEST = "c2FsdHNhbHRzYWx0c2FsdA", "6Kp/3QkL0mS7qk0cY2bq1qzJ1V1J7m7sJ3o1cV3mZ1Q"
TAIL = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"


def argon2(parameters: str, version: str = "19") -> str:
    """Return an argon2id hash with *parameters*."""
    return f"$argon2id$v={version}${parameters}${SALT}${DIGEST}"


@pytest.mark.parametrize(
    ("password", "scheme", "weight"),
    [
        (argon2("m=65536,t=3,p=4"), Scheme.ARGON2ID, 196_608),
        (argon2("m=8,t=1,p=1"), Scheme.ARGON2ID, 8),
        (argon2("m=65536,t=10,p=8"), Scheme.ARGON2ID, 655_360),
        (f"$2b$12${TAIL}", Scheme.BCRYPT, 245_760),
        (f"$2a$04${TAIL}", Scheme.BCRYPT, 960),
        (f"$2y$13${TAIL}", Scheme.BCRYPT, 491_520),
    ],
)
def test_hashes_are_known_by_how_they_begin(password: str, scheme: Scheme, weight: int) -> None:
    """Argon2id, and bcrypt with the three prefixes that are the same."""
    assert hashed(password) == Hashed(scheme, password, weight)


@pytest.mark.parametrize("password", [argon2("m=65536,t=3,p=4"), f"$2b$12${TAIL}"])
def test_a_line_end_behind_a_hash_is_not_part_of_it(password: str) -> None:
    """`smtp-gateway hash > file` and `kubectl create secret --from-file` bring one along."""
    assert hashed(f"{password}\n") == hashed(password)


@pytest.mark.parametrize("password", ["secret", "$ecret", "$", "$2", "$100 and more", "{secret}", "a$2b$12$", "$$", "$home$sweet$home", ""])
def test_everything_else_is_plain(password: str) -> None:
    """A dollar sign alone makes no hash."""
    assert hashed(password) is None


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        (argon2("m=4194304,t=3,p=4"), "argon2id and m=4194304: it must be 32 to 65536"),
        (argon2("m=65537,t=1,p=1"), "argon2id and m=65537: it must be 8 to 65536"),
        (argon2("m=31,t=1,p=4"), "argon2id and m=31: it must be 32 to 65536"),
        (argon2("m=65536,t=11,p=1"), "argon2id and t=11: it must be 1 to 10"),
        (argon2("m=65536,t=0,p=1"), "argon2id and t=0: it must be 1 to 10"),
        (argon2("m=65536,t=1,p=9"), "argon2id and p=9: it must be 1 to 8"),
        (argon2("m=65536,t=1,p=0"), "argon2id and p=0: it must be 1 to 8"),
        (argon2("m=65536,t=1,p=1", "16"), "argon2id of version 16: 19 is needed"),
        (argon2("m=99999999999,t=1,p=1"), "begins like an argon2id hash and is none"),
        ("$argon2id$v=19$m=65536,t=3,p=4$short$hash", "begins like an argon2id hash and is none"),
        (argon2("m=65536,t=3,p=4") + "\n\n", "begins like an argon2id hash and is none"),
        (f"$2b$14${TAIL}", "bcrypt and a cost of 14: it must be 4 to 13"),
        (f"$2b$31${TAIL}", "bcrypt and a cost of 31: it must be 4 to 13"),
        (f"$2b$03${TAIL}", "bcrypt and a cost of 3: it must be 4 to 13"),
        (f"$2b$12${TAIL}x", "begins like a bcrypt hash and is none"),
        (f"$2b$12${TAIL[:-1]}", "begins like a bcrypt hash and is none"),
        (f"$2x$12${TAIL}", "hashed in a way that is not supported: use argon2id or bcrypt"),
        ("$6$salt$" + "a" * 86, "hashed in a way that is not supported"),
        ("$y$j9T$salt$" + "a" * 43, "hashed in a way that is not supported"),
        ("$argon2i$v=19$m=8,t=1,p=1$" + SALT + "$" + DIGEST, "hashed in a way that is not supported"),
        ("$pbkdf2-sha256$29000$salt$hash", "hashed in a way that is not supported"),
        ("{SSHA}" + "a" * 32, "hashed in a way that is not supported"),
    ],
)
def test_a_hash_that_cannot_be_used_is_refused_in_a_sentence(password: str, sentence: str) -> None:
    """No Secret asks for gigabytes or minutes, and no hash is taken for a password; the sentence holds neither salt nor hash."""
    with pytest.raises(HashError, match=sentence) as refused:
        hashed(password)

    assert not any(part in str(refused.value) for part in (SALT, DIGEST, TAIL))


@given(st.text(max_size=120) | st.from_regex(r"\$(argon2id|2b|6|y)\$[v=19$mtp,0-9a-zA-Z./+]{0,110}"))
def test_whatever_is_in_a_secret_is_a_hash_or_plain_or_refused(password: str) -> None:
    """Nothing else comes of it, and what is taken is within the bounds."""
    try:
        found = hashed(password)
    except HashError:
        return
    assert found is None or found.weight <= max(ARGON2_MEMORY * ARGON2_PASSES, 60 * 2**BCRYPT_COST)


def test_a_configuration_with_such_a_hash_is_not_valid() -> None:
    """What the operator would refuse a pod does not load either."""
    with pytest.raises(ValidationError, match="m=4194304"):
        Login(login="app", password=SecretStr(argon2("m=4194304,t=3,p=4")), identity="app-logins")


def test_a_hash_does_not_show() -> None:
    """Neither in a log line nor in a trace."""
    assert repr(hashed(argon2("m=8,t=1,p=1"))) == "Hashed(argon2id)"
