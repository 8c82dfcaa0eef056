"""Waking up: mail that passed its lifetime while its spool slept is held for a person, and not returned as undeliverable.

A volume can lie for weeks without a pod, because its gateway was scaled in, scaled to zero or deleted. What is on it was never given the
attempts that it was promised, so a bounce for it would be untrue; and delivering it late without a word may be worse (a password reset of
last month). It waits for `queue release`, which gives each message another attempt, or `queue remove`.

The spool writes down when it was last awake, in a file beside the queue. What can go wrong: a start that is interrupted while it holds begins
again at the next, because the file is written afterwards; without a file that can be read nothing is known, and nothing is held.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.routing.table import Table
from smtp_gateway.spool.api import Selection, SpoolUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from smtp_gateway.config.model import Config
    from smtp_gateway.spool.api import Entry, Spool

SLEEP = 3600.0
"""Seconds without a process after which a spool has slept: longer than any restart, and than a node takes to be replaced."""
EVERY = 600.0
"""Seconds between two notes that it is awake."""
NAME = "awake"
"""The file's name in the spool's folder; it holds seconds since the epoch."""
PAGE = 1000
"""Messages that are looked at in one go: some 10 ms of the event loop."""
PAUSE = 1.0
"""Seconds before another try while the spool is broken."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long mail is worth an attempt."""

    config: Config
    table: Table

    @classmethod
    def of(cls, config: Config) -> Lifetimes:
        """Return those of *config*."""
        return cls(config, Table.of(config))

    @property
    def shortest(self) -> float:
        """The shortest of any route, in seconds."""
        return min(self._seconds(route.retry.lifetime) for route in self.config.routes)

    def expired(self, entry: Entry, now: float) -> bool:
        """Tell whether at *now* an attempt would be the last one for a recipient of *entry*."""
        routes = (self.table.route_of(recipient.address, entry) for recipient in entry.recipients)
        return any(entry.accepted_at + self._seconds(route.retry.lifetime) <= now for route in routes)

    def _seconds(self, of_route: float | None) -> float:
        return self.config.lifetime if of_route is None else of_route


class Waking:
    """What is done before a spool's mail is delivered, and the note that it is awake."""

    def __init__(self, spool: Spool, folder: Path, clock: Callable[[], float]) -> None:
        """Look after *spool* in *folder*; *clock* tells seconds since the epoch."""
        self._spool = spool
        self._file = folder / NAME
        self._clock = clock
        self._awake = asyncio.Event()

    async def wake(self, config: Config) -> None:
        """Hold what has expired if the spool has slept. While the spool is broken this waits."""
        slept = self._clock() - await asyncio.to_thread(last_awake, self._file)
        if slept >= SLEEP:
            held = await self._hold_expired(Lifetimes.of(config))
            _log.warning("spool has slept", hours=round(slept / 3600, 1), held=held)
        self._awake.set()

    async def stay_awake(self) -> None:
        """Note that the spool is awake, from when it is until cancelled.

        A note that cannot be written is left out: the spool is then thought to have slept for longer than it did.
        """
        await self._awake.wait()
        while True:
            with suppress(OSError):
                await asyncio.to_thread(_write, self._file, self._clock())
            await asyncio.sleep(EVERY)

    async def _hold_expired(self, lifetimes: Lifetimes) -> int:
        """Hold what has expired, page by page; return how many those were."""
        held, after = 0, ""
        while True:
            try:
                entries, following = await self._page(lifetimes, after)
                held += await self._hold([entry for entry in entries if lifetimes.expired(entry, self._clock())])
            except SpoolUnavailableError as fault:
                _log.warning("expired mail not held yet", reason=str(fault))
                await asyncio.sleep(PAUSE)
                continue
            if following is None:
                return held
            after = following

    async def _page(self, lifetimes: Lifetimes, after: str) -> tuple[list[Entry], str | None]:
        """Return the next messages that may have expired, and after which identifier it goes on. Raises `SpoolUnavailableError`."""
        await self._spool.until_readable()
        following = self._spool.stride(after, PAGE)
        old = Selection(older_than=self._clock() - lifetimes.shortest, held=False, up_to=following)
        return [listed.entry for listed in self._spool.listing(old, PAGE, after)], following

    async def _hold(self, entries: Sequence[Entry]) -> int:
        """Hold *entries*, all in one go; return how many were still there. Raises `SpoolUnavailableError`."""
        done = await asyncio.gather(*(self._spool.hold(entry.id) for entry in entries))
        for entry in entries:
            _log.info(
                "held", message_id=entry.id, sender=entry.sender, age=round(self._clock() - entry.accepted_at), reason="expired asleep"
            )
        return sum(done)


def last_awake(file: Path) -> float:
    """Return when *file* says that the spool was last awake, in seconds since the epoch; infinity when it does not say."""
    try:
        seconds = float(file.read_text("ascii"))
    except (OSError, ValueError):
        return math.inf
    return seconds if math.isfinite(seconds) else math.inf


def _write(file: Path, now: float) -> None:
    """Write the note so that an interruption leaves the one before."""
    new = file.with_suffix(".new")
    new.write_text(f"{now:.0f}\n", "ascii")
    new.replace(file)
