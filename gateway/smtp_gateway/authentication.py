"""The conductor of AUTH: from what a client showed to who it is, or to the reply that refuses it.

Comparing with a hash takes up to a second of a processor and 64 MiB, so it is done by a few threads, and those who wait for one are
bounded too; beyond that a client is told to come again (454). Clients that show the same at the same time share one comparison.

A refusal is given at a time that grows with the failures of its session, counted from when it was asked for: so the time says neither
whether a login exists nor how its password is kept. Nobody else waits meanwhile, and nothing waits for a client that has gone: who hangs
up and comes again would otherwise have a task for each time. What it showed is judged and counted all the same. Guessing from many
sessions is stopped by network (`smtp_gateway.policy.bans`).

What can go wrong: a comparison that fails for another reason than a wrong password (no memory); it is raised to the session, which
answers that this is temporary.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import structlog

from smtp_gateway.mail import reply
from smtp_gateway.mail.reply import Reply
from smtp_gateway.policy import passwords
from smtp_gateway.policy.auth import Credentials, Identity, Logins, Question
from smtp_gateway.policy.bans import BAN, Bans
from smtp_gateway.policy.network import network_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from smtp_gateway.config.model import Login
    from smtp_gateway.mail.envelope import Peer
    from smtp_gateway.telemetry.observer import Observer

AT_ONCE = 2
"""Comparisons with a hash at the same time: with 64 MiB each, an eighth of a pod's memory by default."""
WAITING = 64
"""Comparisons that may be under way or wait: with usual parameters (50 ms) the last waits under two seconds."""
DELAYS = (1.0, 2.0, 4.0, 8.0)
"""Seconds from an attempt to its refusal, by the failures before it in the session. Postfix waits 1 s (`smtpd_error_sleep_time`), Dovecot
2 s; with usual parameters no comparison takes longer than the first."""
ATTEMPTS = 5
"""Failures after which a session ends, with 421: a client with a login that works needs none."""

BANNED = Reply(454, "4.7.0", "Too many failed logins from your network, try again later")
OVERLOADED = Reply(454, "4.7.0", "Temporary authentication failure, try again later")
TOO_MANY_FAILURES = Reply(421, "4.7.0", "Too many failed logins, goodbye")

_log = structlog.get_logger()


class Reason(StrEnum):
    """Why an exchange did not end in a login: a label of the metrics."""

    CREDENTIALS = "credentials"
    """No such login, or another password."""
    AUTHORIZATION = "authorization"
    """A login that wants to act as another one (RFC 4616 section 2), or a certificate that is nobody's here or another's."""
    BANNED = "banned"
    """Refused unseen: the network failed too often."""
    OVERLOADED = "overloaded"
    """Too many passwords are being compared."""
    INCOMPLETE = "incomplete"
    """Cancelled, or not what the mechanism asks for."""


class OverloadedError(Exception):
    """Too many comparisons wait."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One exchange that came to its end."""

    mechanism: str
    peer: Peer
    shown: Credentials | Identity | None
    """A login and a password; or who it is by its certificate; None when the client may not be who it wants to be."""
    failures: int = 0
    """Failures before it in the same session."""
    gone: asyncio.Future[None] | None = None
    """Done when nobody is there any more to hear a refusal; None for somebody who stays."""


class Pause(Protocol):
    """Waiting."""

    def __call__(self, delay: float, gone: asyncio.Future[None] | None, /) -> Awaitable[None]:
        """Return after *delay* seconds, or as soon as *gone* is done."""


async def patience(delay: float, gone: asyncio.Future[None] | None) -> None:
    """Return after *delay* seconds, or as soon as *gone* is done."""
    if gone is None:
        await asyncio.sleep(delay)
    else:
        await asyncio.wait((gone,), timeout=delay)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where time comes from, and who compares with hashes."""

    clock: Callable[[], float] = time.monotonic
    pause: Pause = patience
    matches: Callable[..., bool] = passwords.matches


class Authentication:
    """Who may send, asked by all sessions of a gateway."""

    def __init__(self, logins: Sequence[Login], observer: Observer, sources: Sources | None = None) -> None:
        """Know *logins*, and tell *observer* of failures."""
        self._logins = Logins(logins)
        self._observer = observer
        self._sources = sources or Sources()
        self._bans = Bans()
        self._threads = ThreadPoolExecutor(AT_ONCE, "password")
        self._under_way: dict[tuple[bytes, str], asyncio.Future[bool]] = {}

    def reconfigure(self, logins: Sequence[Login]) -> None:
        """Know *logins* instead, from the next exchange on; sessions that authenticated already are not asked again."""
        self._logins.reconfigure(logins)

    def close(self) -> None:
        """Compare no more: what waits is given up, what is under way ends by itself within a second."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, attempt: Attempt) -> Identity | Reply:
        """Return who it is, or the refusal when its time has come or nobody waits for it any more."""
        began = self._sources.clock()
        verdict = await self._judge(attempt)
        if isinstance(verdict, Identity):
            self._observer.authenticated(attempt.mechanism, succeeded=True)
            return verdict
        self._observer.authenticated(attempt.mechanism, succeeded=False)
        self._observer.authentication_failed(attempt.mechanism, verdict.value)
        if verdict is Reason.OVERLOADED:
            return OVERLOADED
        due = began + DELAYS[min(attempt.failures, len(DELAYS) - 1)]
        await self._sources.pause(max(0.0, due - self._sources.clock()), attempt.gone)
        if attempt.failures + 1 >= ATTEMPTS:
            return TOO_MANY_FAILURES
        return BANNED if verdict is Reason.BANNED else reply.AUTHENTICATION_FAILED

    def incomplete(self, mechanism: str) -> None:
        """Count an exchange that came to no credentials."""
        self._observer.authentication_failed(mechanism, Reason.INCOMPLETE.value)

    async def _judge(self, attempt: Attempt) -> Identity | Reason:
        """Return who it is, or why it is nobody."""
        shown, address = attempt.shown, attempt.peer.address
        if isinstance(shown, Identity):
            return shown
        if shown is None:
            self._tell(attempt, Reason.AUTHORIZATION)
            return Reason.AUTHORIZATION
        digest = self._logins.digest(shown)
        if self._bans.bars(address, digest, self._sources.clock()):
            return Reason.BANNED
        try:
            who = await self._identify(shown, digest)
        except OverloadedError:
            self._tell(attempt, Reason.OVERLOADED)
            return Reason.OVERLOADED
        if who is not None:
            self._bans.succeeded(address, digest)
            return who
        self._tell(attempt, Reason.CREDENTIALS)
        if self._bans.failed(address, digest, self._sources.clock()):
            _log.warning("network banned", network=network_of(address), listener=attempt.peer.listener, seconds=BAN)
        return Reason.CREDENTIALS

    async def _identify(self, credentials: Credentials, digest: bytes) -> Identity | None:
        found = self._logins.ask(credentials)
        if not isinstance(found, Question):
            return found
        # Whoever hangs up must not end the comparison for others who showed the same.
        right = await asyncio.shield(self._comparison(found, digest))
        return self._logins.settle(found, right=right)

    def _comparison(self, question: Question, digest: bytes) -> asyncio.Future[bool]:
        """Return the answer to *question*, later. Raises `OverloadedError`."""
        key = (digest, question.hashed.encoded)
        under_way = self._under_way.get(key)
        if under_way is None:
            if len(self._under_way) >= WAITING:
                raise OverloadedError
            loop = asyncio.get_running_loop()
            under_way = loop.run_in_executor(self._threads, self._sources.matches, question.hashed, question.credentials.password)
            self._under_way[key] = under_way
            under_way.add_done_callback(lambda _: self._under_way.pop(key))
        return under_way

    def _tell(self, attempt: Attempt, reason: Reason) -> None:
        """Log a failure without login and password; what it names is the Secret of the login, if there is such a login."""
        identity = self._logins.owner(attempt.shown) if isinstance(attempt.shown, Credentials) else ""
        _log.warning(
            "authentication failed",
            peer=attempt.peer.address,
            listener=attempt.peer.listener,
            mechanism=attempt.mechanism,
            reason=reason.value,
            identity=identity,
        )
