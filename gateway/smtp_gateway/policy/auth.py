"""The logins that may send, and the comparison of what a client shows against them.

Only keyed digests are kept, under a key of this process: digests have one length, so comparing them tells nothing about the length of
a password, and the plain passwords are not held a second time. A rejected login never says whether it was the login or the password.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.config.model import Login

_KEY = 32
"""Octets of the key and of the digests (BLAKE2b takes keys of up to 64, RFC 7693 section 2.1)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who authenticated."""

    login: str
    identity: str
    """The name of the Secret that the login came from: what logs and metrics may say instead of the login."""


@dataclass(frozen=True, slots=True)
class _Known:
    password: bytes
    who: Identity


class Logins:
    """The logins in force; `reconfigure` replaces them all at once."""

    def __init__(self, logins: Sequence[Login]) -> None:
        """Know *logins*."""
        self._key = secrets.token_bytes(_KEY)
        # What an unknown login is compared with, so that it costs the same as a known one with a wrong password.
        self._nobody = _Known(secrets.token_bytes(_KEY), Identity("", ""))
        self._known: dict[bytes, _Known] = {}
        self.reconfigure(logins)

    def reconfigure(self, logins: Sequence[Login]) -> None:
        """Know *logins* instead; sessions that authenticated already are not asked again."""
        self._known = {
            self._digest(each.login.encode()): _Known(
                self._digest(each.password.get_secret_value().encode()), Identity(each.login, each.identity)
            )
            for each in logins
        }

    def verify(self, login: bytes, password: bytes) -> Identity | None:
        """Return whose *login* and *password* these are; None when they are nobody's.

        The same work is done for an unknown login as for a wrong password.
        """
        known = self._known.get(self._digest(login), self._nobody)
        right = hmac.compare_digest(self._digest(password), known.password)
        return known.who if right and known is not self._nobody else None

    def _digest(self, value: bytes) -> bytes:
        return hashlib.blake2b(value, key=self._key, digest_size=_KEY).digest()
