"""Passwords as Secrets hold them: plain, or hashed with argon2id (RFC 9106) or bcrypt, told apart by how they begin.

What a hash costs to compare with stands in the hash, so it is bounded here, where both the operator and the gateway read it: a Secret
must not be able to ask a pod for gigabytes or minutes. A value that is a hash of another kind is refused and not taken for a plain
password, because whoever read the Secret could log in with it. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

ARGON2_MEMORY = 64 * 1024
"""KiB: the second recommended option of RFC 9106 section 4, and the default of argon2-cffi. Twice this is what a pod needs at most."""
ARGON2_PASSES = 10
"""Passes over the memory: RFC 9106 recommends 3 with as much memory; with the most of both a comparison takes about a second."""
ARGON2_LANES = 8
"""Threads of one comparison: RFC 9106 recommends 4."""
ARGON2_VERSION = 19
"""The version of RFC 9106 section 3.1; the one before has a known weakness."""
BCRYPT_COST = 13
"""The logarithm of bcrypt's rounds: about half a second; libraries choose 10 to 12."""

_ARGON2 = re.compile(
    r"\$argon2id\$v=(?P<version>\d{1,3})\$m=(?P<memory>\d{1,10}),t=(?P<passes>\d{1,10}),p=(?P<lanes>\d{1,10})"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,86}"
)
_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}")
_OTHER = re.compile(
    r"\$(?:1|2|2x|3|5|6|7|8|9|md5|sha1|y|gy|argon2i|argon2d|scrypt|bcrypt-sha256|pbkdf2[a-z0-9-]*)\$|\{[A-Za-z0-9-]{3,16}\}[A-Za-z0-9+/$.=]{16,}"
)
"""Hashes of crypt(5) and of LDAP (RFC 2307) as they begin."""


class HashError(ValueError):
    """A password is a hash that cannot be used; the message says why, without any of it but its parameters."""


class Scheme(StrEnum):
    """How a password was hashed."""

    ARGON2ID = "argon2id"
    BCRYPT = "bcrypt"


@dataclass(frozen=True, slots=True)
class Hashed:
    """A hashed password."""

    scheme: Scheme
    encoded: str
    """The hash with its parameters, as it stands in the Secret."""
    weight: int
    """What a comparison costs beside another one, in about a microsecond."""

    def __repr__(self) -> str:
        """Leave out the hash."""
        return f"Hashed({self.scheme.value})"


def hashed(password: str) -> Hashed | None:
    """Return the hash that *password* is; None when it is plain. Raises `HashError`.

    A line's end behind a hash is not part of it: most are made by a program that prints one, into a file that becomes the Secret.
    """
    if password.startswith("$argon2id$"):
        return _argon2id(password.removesuffix("\n"))
    if re.match(r"\$2[aby]\$", password):
        return _bcrypt(password.removesuffix("\n"))
    if _OTHER.match(password):
        message = "a password is hashed in a way that is not supported: use argon2id or bcrypt"
        raise HashError(message)
    return None


def _argon2id(password: str) -> Hashed:
    found = _ARGON2.fullmatch(password)
    if found is None:
        message = "a password begins like an argon2id hash and is none: $argon2id$v=19$m=...,t=...,p=...$salt$hash is needed"
        raise HashError(message)
    if int(found["version"]) != ARGON2_VERSION:
        message = f"a password is hashed with argon2id of version {found['version']}: {ARGON2_VERSION} is needed"
        raise HashError(message)
    memory, passes, lanes = (int(found[name]) for name in ("memory", "passes", "lanes"))
    for name, value, least, most in (
        ("p", lanes, 1, ARGON2_LANES),
        ("m", memory, 8 * lanes, ARGON2_MEMORY),
        ("t", passes, 1, ARGON2_PASSES),
    ):
        if not least <= value <= most:
            message = f"a password is hashed with argon2id and {name}={value}: it must be {least} to {most}"
            raise HashError(message)
    return Hashed(Scheme.ARGON2ID, password, memory * passes)


def _bcrypt(password: str) -> Hashed:
    found = _BCRYPT.fullmatch(password)
    if found is None:
        message = "a password begins like a bcrypt hash and is none: it needs 60 characters, $2b$, the cost, $, and 53 of salt and hash"
        raise HashError(message)
    cost = int(found["cost"])
    if not 4 <= cost <= BCRYPT_COST:  # noqa: PLR2004 bcrypt's own least
        message = f"a password is hashed with bcrypt and a cost of {cost}: it must be 4 to {BCRYPT_COST}"
        raise HashError(message)
    return Hashed(Scheme.BCRYPT, password, 60 * 2**cost)
