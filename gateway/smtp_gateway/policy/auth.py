"""The logins that may send, and the comparison of what a client shows against them.

Of plain passwords only keyed digests are kept, under a key of this process: digests have one length, so comparing them tells nothing
about the length of a password, and the passwords are not held a second time. A rejected login never says whether it was the login or the
password.

A hashed password is compared with by somebody else, who has the time (`Question`). What was right once is remembered by a keyed digest,
so that a client with a connection for each message costs no hash each time: as long as the login has that very hash. What was wrong is
not remembered: it may be right tomorrow.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from smtp_gateway.config.hashes import Hashed, hashed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.config.model import Login

REMEMBERED = 10_000
"""Verified logins that are remembered, some 300 octets each; the one that was not used for the longest time is forgotten first."""
_KEY = 32
"""Octets of the key and of the digests (BLAKE2b takes keys of up to 64, RFC 7693 section 2.1)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who authenticated."""

    login: str
    identity: str
    """The name of the Secret that the login came from: what logs and metrics may say instead of the login."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client shows, in octets: nothing is prepared (SASLprep), because a hash could not be compared with then."""

    login: bytes = field(repr=False)
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Known:
    secret: bytes | Hashed
    """The digest of a plain password, or a hash."""
    who: Identity


@dataclass(frozen=True, slots=True)
class Question:
    """A comparison that takes time: does the password match `hashed`? The answer is for `Logins.settle`."""

    credentials: Credentials
    hashed: Hashed


class Logins:
    """The logins in force; `reconfigure` replaces them all at once."""

    def __init__(self, logins: Sequence[Login]) -> None:
        """Know *logins*."""
        self._key = secrets.token_bytes(_KEY)
        # What an unknown login is compared with, so that it costs the same as a known one with a wrong password.
        self._nobody = _Known(secrets.token_bytes(_KEY), Identity("", ""))
        self._known: dict[bytes, _Known] = {}
        self._costliest: Hashed | None = None
        self._right: OrderedDict[bytes, Hashed] = OrderedDict()
        """By digest of login and password: the hash that they matched."""
        self.reconfigure(logins)

    def reconfigure(self, logins: Sequence[Login]) -> None:
        """Know *logins* instead; sessions that authenticated already are not asked again."""
        self._known = {self._digest(each.login.encode()): self._to_know(each) for each in logins}
        hashes = {known.secret for known in self._known.values() if isinstance(known.secret, Hashed)}
        self._costliest = max(hashes, key=lambda each: each.weight, default=None)
        self._right = OrderedDict((digest, found) for digest, found in self._right.items() if found in hashes)

    def _to_know(self, login: Login) -> _Known:
        password = login.password.get_secret_value()
        return _Known(hashed(password) or self._digest(password.encode()), Identity(login.login, login.identity))

    def digest(self, credentials: Credentials) -> bytes:
        """Return what stands for *credentials* in this process, and tells nothing about them to anybody else."""
        return self._digest(self._digest(credentials.login) + self._digest(credentials.password))

    def owner(self, credentials: Credentials) -> str:
        """Return the Secret that holds the login, whatever the password; empty for an unknown login. For the log alone."""
        return self._known.get(self._digest(credentials.login), self._nobody).who.identity

    def ask(self, credentials: Credentials) -> Identity | Question | None:
        """Return whose *credentials* these are; None when they are nobody's, a `Question` when that takes time.

        The same work is done for an unknown login as for a wrong password: where any login is hashed, whatever is wrong ends in a
        question, about the costliest hash where there is none of its own, and its answer counts for nothing then.
        """
        known = self._known.get(self._digest(credentials.login), self._nobody)
        if isinstance(known.secret, Hashed):
            found = self._recall(credentials)
            return known.who if found == known.secret else Question(credentials, known.secret)
        right = hmac.compare_digest(self._digest(credentials.password), known.secret)
        if right and known is not self._nobody:
            return known.who
        return None if self._costliest is None else Question(credentials, self._costliest)

    def settle(self, question: Question, *, right: bool) -> Identity | None:
        """Return whose credentials *question* was about, now that its answer is known; None when they are nobody's (any more)."""
        known = self._known.get(self._digest(question.credentials.login))
        # An empty password is never right: it would be a login without one.
        if not right or known is None or known.secret != question.hashed or not question.credentials.password:
            return None
        self._right[self.digest(question.credentials)] = question.hashed
        if len(self._right) > REMEMBERED:
            self._right.popitem(last=False)
        return known.who

    def _recall(self, credentials: Credentials) -> Hashed | None:
        """Return the hash that *credentials* matched before, if they did."""
        digest = self.digest(credentials)
        found = self._right.get(digest)
        if found is not None:
            self._right.move_to_end(digest)
        return found

    def _digest(self, value: bytes) -> bytes:
        return hashlib.blake2b(value, key=self._key, digest_size=_KEY).digest()
