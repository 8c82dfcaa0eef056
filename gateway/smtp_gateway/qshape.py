"""How the queue divides among routes, in the manner of Postfix's qshape(1): how many messages wait for each, and since when.

Which route a message takes is written down nowhere: it is decided at each attempt, by the configuration that is in force then, and a message
may take several. So the queue is walked through, page by page, and each recipient that is still owed is routed as an attempt would route it
now. What the walk found is told until the next one is over, and nothing is told before the first: a walk that begins when routes change
makes what was found before untrue. A queue of up to a page is walked through in one go every `EVERY` seconds; a long one takes its time,
because the event loop has mail to deliver: a million messages take some nine minutes (10 µs each, measured on 20,000).

What can go wrong: a spool that cannot be read; what was found before is told until it can.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.routing.table import Table
from smtp_gateway.spool.api import Selection, SpoolUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from smtp_gateway.config.model import Config
    from smtp_gateway.spool.api import Entry, Spool

PAGE = 100
"""Messages that are looked at in one go: some millisecond of the event loop."""
PAUSE = 0.05
"""Seconds between two pages, so that no more than a fiftieth of the event loop goes into this."""
EVERY = 10.0
"""Seconds between two walks: more often than Prometheus looks, by default and by habit."""
_ALL = Selection()


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for one route."""

    messages: int = 0
    """A message counts for each route that a recipient of it takes."""
    oldest: float | None = None
    """When the first of them was accepted, in seconds since the epoch; None when there is none."""

    def and_one(self, accepted_at: float) -> Waiting:
        """Return this with one more message."""
        return Waiting(self.messages + 1, accepted_at if self.oldest is None else min(self.oldest, accepted_at))


NOTHING = Waiting()


def shape(entries: Iterable[Entry], table: Table, before: Mapping[str, Waiting]) -> dict[str, Waiting]:
    """Return what waits by route, with *entries* added to what waited *before*."""
    found = dict(before)
    for entry in entries:
        for route in {table.route_of(recipient.address, entry).name for recipient in entry.recipients}:
            found[route] = found.get(route, NOTHING).and_one(entry.accepted_at)
    return found


class QueueShape:
    """Walks through the queue again and again."""

    def __init__(self, spool: Spool, config: Config) -> None:
        """Look at *spool*, and route as *config* says."""
        self._spool = spool
        self._config = config
        self._table = Table.of(config)
        self._rerouted = asyncio.Event()
        self.found: Mapping[str, Waiting] | None = None
        """What waits, by route; None while that is not known."""

    def reconfigure(self, config: Config) -> None:
        """Route as *config* says from now on."""
        before, self._config = self._config, config
        if (before.routes, before.bounces.route) != (config.routes, config.bounces.route):
            self._table, self.found = Table.of(config), None
            self._rerouted.set()

    async def run(self) -> None:
        """Walk until cancelled."""
        while True:
            self._rerouted.clear()
            with suppress(SpoolUnavailableError):
                await self.walk()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._rerouted.wait()

    async def walk(self) -> None:
        """Walk through as many messages as there are now; what was found counts unless routes changed. Raises `SpoolUnavailableError`."""
        table, left, after = self._table, self._spool.depth().messages, ""
        found = dict.fromkeys((route.name for route in self._config.routes), NOTHING)
        while left > 0 and table is self._table:
            await self._spool.until_readable()
            page = self._spool.listing(_ALL, min(left, PAGE), after)
            if not page:
                break
            found = shape((listed.entry for listed in page), table, found)
            left, after = left - len(page), page[-1].entry.id
            if left:
                await asyncio.sleep(PAUSE)
        if table is self._table:
            self.found = found
