"""Sessions that are kept for the next message: a connection, a greeting and a TLS handshake cost more than most messages.

A session is kept for the next hop that it was opened for, the most recent one first, so that those which are not needed grow old. It is
left, with QUIT, when it has been idle, has lasted or has carried messages long enough, and when there are too many. One that has said
anything unasked, or was closed by the next hop, is not used again.

Whether a kept session still lives shows only when it is used. What it then costs is decided by `smtp_gateway.delivery.client`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
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
        self._idle: OrderedDict[Kept, None] = OrderedDict()
        """In the order in which they became idle."""
        self._by_hop: dict[Smarthost, list[Kept]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self, hop: Smarthost) -> Kept | None:
        """Return an idle session with *hop*, which is the caller's until it is given back; None when there is none that lives."""
        while kept := self._by_hop.get(hop):
            last = kept[-1]
            self._forget(last)
            if last.session.connection.quiet:
                return last
            self.leave(last)
        return None

    def give_back(self, kept: Kept) -> None:
        """Keep a session for the next message, or leave it when it has served long enough."""
        now = asyncio.get_running_loop().time()
        kept.carried += 1
        used_up = kept.carried >= self._reuse.messages or now - kept.opened >= self._reuse.age
        if self._closed or used_up or not kept.session.connection.quiet:
            self.leave(kept)
            return
        kept.since = now
        self._idle[kept] = None
        self._by_hop.setdefault(kept.hop, []).append(kept)
        if len(self._idle) > self._reuse.kept:
            self._retire(next(iter(self._idle)))
        self._plan_sweep(now)

    def leave(self, kept: Kept) -> None:
        """End a session that is not kept."""
        kept.session.connection.leave(self._goodbye)

    def close(self) -> None:
        """End the idle sessions, and from now on each one that is given back."""
        self._closed = True
        for kept in tuple(self._idle):
            self._retire(kept)
        if self._sweep is not None:
            self._sweep.cancel()

    def _retire(self, kept: Kept) -> None:
        self._forget(kept)
        self.leave(kept)

    def _forget(self, kept: Kept) -> None:
        del self._idle[kept]
        same = self._by_hop[kept.hop]
        same.remove(kept)
        if not same:
            del self._by_hop[kept.hop]

    def _plan_sweep(self, now: float) -> None:
        """Look again when the session that has been idle longest has been so for long enough: one timer for all."""
        if self._sweep is None and self._idle:
            oldest = next(iter(self._idle))
            wait = max(0.0, oldest.since + self._reuse.idle - now)
            self._sweep = asyncio.get_running_loop().call_later(wait, self._swept)

    def _swept(self) -> None:
        self._sweep = None
        now = asyncio.get_running_loop().time()
        for kept in tuple(self._idle):
            if now - kept.since < self._reuse.idle:
                break
            self._retire(kept)
        self._plan_sweep(now)
