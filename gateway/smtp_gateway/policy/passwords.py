"""Hashes of passwords, and the comparison with them, by well-known libraries. It takes up to a second: never in the event loop.

Both libraries let go of the interpreter's lock meanwhile. What can go wrong: no memory (argon2's `VerificationError`).
"""

from __future__ import annotations

import bcrypt
from argon2 import PasswordHasher, Type
from argon2.exceptions import VerifyMismatchError
from argon2.low_level import verify_secret

from smtp_gateway.config.hashes import Hashed, Scheme

BCRYPT_LIMIT = 72
"""Octets of a password that bcrypt looks at. A longer one is not right: all passwords with the same beginning would be."""

MEMORY, PASSES, LANES = 19 * 1024, 2, 1
"""KiB, passes and threads of a hash that is made here: OWASP's recommendation, some 30 ms. More makes guessing from a stolen Secret
dearer, and each new login on each pod."""


def hashed(password: str) -> str:
    """Return a hash of *password*, as a Secret of logins holds it. Blocks."""
    return PasswordHasher(PASSES, MEMORY, LANES).hash(password)


def matches(hashed: Hashed, password: bytes) -> bool:
    """Tell whether *password* is what was *hashed*. Blocks for as long as the hash's parameters say."""
    if hashed.scheme is Scheme.BCRYPT:
        # Compared although it is too long, so that it takes its time.
        right = bcrypt.checkpw(password[:BCRYPT_LIMIT], hashed.encoded.encode())
        return right and len(password) <= BCRYPT_LIMIT
    try:
        return verify_secret(hashed.encoded.encode(), password, Type.ID)
    except VerifyMismatchError:
        return False
