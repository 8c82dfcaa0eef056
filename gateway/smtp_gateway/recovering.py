"""Mail that waits for a route whose smarthosts answer again: due at once, and not when its next attempt would have been.

After a long absence of its next hops a route's mail waits for up to an hour more (`Retry.maximum`), although the probe knows within a quarter
of a minute that they are back. Nothing is stampeded by that: a destination that has rested is tried as one of which nothing is known, a
few attempts at a time, and what cannot go yet waits for its turn in the order in which it was due.

A smarthost that refuses in so many words (`Cause.REJECTED`) may do so because it was sent too much: mail for it keeps its times.

What can go wrong: a spool that cannot be read or written is waited for, and the work goes on where it was.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from smtp_gateway.routing.table import Table
from smtp_gateway.spool.api import Selection, SpoolUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.config.model import Config
    from smtp_gateway.spool.api import Entry, Listed, Spool

SOON = 30.0
"""Seconds within which mail is due anyway, and left alone: the shortest wait there usually is (`Retry.initial`)."""
PAGE = 200
"""Messages that are looked at in one go: some 2 ms of the event loop."""
PAUSE = 1.0
"""Seconds before another try while the spool is broken."""

_log = structlog.get_logger()


class Onward(Protocol):
    """What is asked of dispatch."""

    def revive(self, entry: Entry) -> None:
        """Try the destinations of *entry* again, should they rest."""

    def retry_refused(self) -> None:
        """Offer next hops again the credentials that they refused."""

    def wake(self) -> None:
        """Look at the queue now."""


class Recovering:
    """Makes mail due whose route has come back."""

    def __init__(self, spool: Spool, onward: Onward, config: Config, clock: Callable[[], float]) -> None:
        """Hasten what is in *spool*; *clock* tells seconds since the epoch."""
        self._spool = spool
        self._onward = onward
        self._clock = clock
        self._restored: set[str] = set()
        self._wanted = asyncio.Event()
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        """Route by *config* from now on."""
        self._table = Table.of(config)

    def restored(self, route: str) -> None:
        """Take note that the route of this name can be used again."""
        self._restored.add(route)
        self._wanted.set()

    async def run(self) -> None:
        """Hasten until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            routes, self._restored = frozenset(self._restored), set()
            self._onward.retry_refused()
            hastened = await self._hasten(routes)
            _log.info("waiting mail is due", routes=sorted(routes), messages=hastened)

    async def _hasten(self, routes: frozenset[str]) -> int:
        """Make due what waits for *routes*, page by page, the oldest first; return how many messages those were."""
        hastened, after, resting = 0, "", set(routes)
        while True:
            try:
                await self._spool.until_readable()
                following = self._spool.stride(after, PAGE)
                page = self._spool.listing(Selection(held=False, up_to=following), PAGE, after)
                hastened += await self._make_due([one for one in page if self._waits(one) and self._routes(one.entry) & routes], resting)
            except SpoolUnavailableError as fault:
                _log.warning("waiting mail not due yet", reason=str(fault))
                await asyncio.sleep(PAUSE)
                continue
            if following is None:
                return hastened
            after = following

    async def _make_due(self, waiting: list[Listed], resting: set[str]) -> int:
        """Make *waiting* due, and call each destination back once: it is taken out of *resting*. Raises `SpoolUnavailableError`."""
        for one in waiting:
            if called := self._routes(one.entry) & resting:
                resting -= called
                self._onward.revive(one.entry)
        now = self._clock()
        done = await asyncio.gather(*(self._spool.retry(one.entry.id, now) for one in waiting))
        if done:
            self._onward.wake()
        return sum(done)

    def _waits(self, listed: Listed) -> bool:
        return not listed.leased and listed.next_attempt > self._clock() + SOON

    def _routes(self, entry: Entry) -> frozenset[str]:
        return frozenset(self._table.route_of(recipient.address, entry).name for recipient in entry.recipients)
