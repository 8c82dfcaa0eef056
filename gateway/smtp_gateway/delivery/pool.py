"""Sessions that are kept for the next message: a connection, a greeting and a TLS handshake cost more than most messages.

A session is kept for the next hop that it was opened for, the most recent one first, so that those which are not needed grow old. It is
left, with QUIT, when it has been idle, has lasted or has carried messages long enough, and when there are too many. One that has said
anything unasked, or was closed by the next hop, is not used again.

Whether a kept session still lives shows only when it is used. What it then costs is decided by `smtp_gateway.delivery.client`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smtp_gateway.config.model import Smarthost
    from smtp_gateway.delivery.session import Session
    from smtp_gateway.delivery.settings import Reuse


@dataclass(slots=True, eq=False)
class Kept:
    """A session and how it was used."""

    session: Session
    hop: Smarthost
    """What it was opened for; the session's own hop is one address of it, in the clear perhaps where TLS failed."""
    opened: float
    """On the clock of `time.monotonic`, like `since`."""
    carried: int = 0
    dirty: bool = False
    """Whether a transaction was left open, so that RSET has to come first."""
    since: float = 0.0
    """When it became idle."""


class Pool:
    """Idle sessions."""

    def __init__(self, reuse: Reuse, goodbye: float) -> None:
        """Keep sessions within *reuse*; wait *goodbye* seconds for the answer to QUIT."""
        self._reuse = reuse
        self._goodbye = goodbye
        self._idle: dict[Smarthost, list[Kept]] = {}
        """By next hop, in the order in which they became idle; no list is empty."""
        self._count = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self, hop: Smarthost) -> Kept | None:
        """Return an idle session with *hop*, which is the caller's until it is given back; None when there is none that lives."""
        while same := self._idle.get(hop):
            kept = same.pop()
            self._count -= 1
            if not same:
                del self._idle[hop]
            if kept.session.connection.quiet:
                return kept
            self.leave(kept)
        return None

    def give_back(self, kept: Kept) -> None:
        """Keep a session for the next message, or leave it when it has served long enough."""
        now = time.monotonic()
        kept.carried += 1
        used_up = kept.carried >= self._reuse.messages or now - kept.opened >= self._reuse.age
        if self._closed or used_up or not kept.session.connection.quiet:
            self.leave(kept)
            return
        kept.since = now
        self._idle.setdefault(kept.hop, []).append(kept)
        self._count += 1
        if self._count > self._reuse.kept:
            self._retire(self._oldest())
        if self._sweep is None:
            self._plan_sweep(now)

    def leave(self, kept: Kept) -> None:
        """End a session that is not kept."""
        kept.session.connection.leave(self._goodbye)

    def close(self) -> None:
        """End the idle sessions, and from now on each one that is given back."""
        self._closed = True
        while self._idle:
            self._retire(self._oldest())
        if self._sweep is not None:
            self._sweep.cancel()

    def _oldest(self) -> Kept:
        """Return the session that has been idle longest. Looks at each next hop; asked when there are too many, not for each message."""
        return min((same[0] for same in self._idle.values()), key=lambda kept: kept.since)

    def _retire(self, oldest: Kept) -> None:
        same = self._idle[oldest.hop]
        del same[0]
        self._count -= 1
        if not same:
            del self._idle[oldest.hop]
        self.leave(oldest)

    def _plan_sweep(self, now: float) -> None:
        """Look again when the session that has been idle longest has been so for long enough: one timer for all."""
        wait = max(0.0, self._oldest().since + self._reuse.idle - now)
        self._sweep = asyncio.get_running_loop().call_later(wait, self._swept)

    def _swept(self) -> None:
        self._sweep = None
        now = time.monotonic()
        while self._idle and now - (oldest := self._oldest()).since >= self._reuse.idle:
            self._retire(oldest)
        if self._idle:
            self._plan_sweep(now)
