"""Delays of mail that waits without an attempt, for its pace or for a place: told like those of mail that was deferred, at the same age and once.

One message at a time is taken out of the window, told about, and put back to where it was; its lease goes on meanwhile, so that nobody else
can have it. Nothing is lost by a fault here: the message comes back later, as one whose destination had no place.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from smtp_gateway import bouncing
from smtp_gateway.mail.outcome import Deferred
from smtp_gateway.mail.reply import Reply
from smtp_gateway.routing.table import Table
from smtp_gateway.spool.api import Settlement
from smtp_gateway.spool.schedule import Decision, Terms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from smtp_gateway.bouncing import Bouncing
    from smtp_gateway.config.model import Config
    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry, Spool
    from smtp_gateway.spool.window import Window
    from smtp_gateway.telemetry.observer import Observer

EVERY = 60.0
"""Seconds between two looks at what waits: some milliseconds for five thousand messages, and a warning comes after hours."""
WAITS = Deferred(Reply(451, "4.4.5", "The message waits for its turn: only so much mail may go where it goes"), local=True)
"""What is said of a recipient to whom nothing was tried (RFC 3463 section 3.5: congestion)."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Hands:
    """What is done with messages, and who is told."""

    spool: Spool
    window: Window
    write_down: Callable[[Settlement], Awaitable[None]]
    """Writes a settlement down; returns when that is done."""
    put_back: Callable[[Entry], Awaitable[None]]
    """Ends a lease without an attempt."""
    observer: Observer


class Delays:
    """The delays of what waits in one window."""

    def __init__(self, hands: Hands, clock: Callable[[], float], ticks: Callable[[], float]) -> None:
        """Tell nothing before `configure`. *clock* tells seconds since the epoch, *ticks* those of a clock that does not go back."""
        self._hands = hands
        self._clock = clock
        self._ticks = ticks
        self._late: deque[MessageId] = deque()
        """What was found at the last look and is not told yet."""
        self._looks_at = -math.inf
        self._telling: MessageId | None = None
        self._stopping = False

    def configure(self, config: Config, notices: Bouncing) -> None:
        """Tell what *config* says, by *notices*, from now on."""
        self._lifetime, self._table, self._notices = config.lifetime, Table.of(config), notices

    def __contains__(self, message_id: object) -> bool:
        """Tell whether a message is being told about, and waits in the window otherwise."""
        return message_id == self._telling

    def next(self) -> Coroutine[None, None, None] | None:
        """Return the work of telling about the next message that is late; None when there is none, or one is being told about."""
        if not self._hands.window.paced or self._telling is not None or self._stopping:
            return None
        now = self._ticks()
        if not self._late and now >= self._looks_at:
            self._looks_at, wall = now + EVERY, self._clock()
            self._late.extend(entry.id for entry in self._hands.window.paced.entries() if self._notices.is_late(entry, wall))
        while self._late:
            if (entry := self._hands.window.take(self._late.popleft())) is not None:
                self._telling = entry.id
                return self._tell(entry)
        return None

    async def put_back(self, entry: Entry) -> None:
        """End the lease of *entry* without an attempt, having told of its delay if that is due."""
        if self._notices.is_late(entry, self._clock()):
            entry = await self._told(entry) or entry
        await self._hands.put_back(entry)

    def stop(self) -> None:
        """Begin nothing more, and release what is being told about when it is."""
        self._stopping = True

    async def _tell(self, entry: Entry) -> None:
        """Tell about *entry*, and let it wait on."""
        try:
            told = await self._told(entry)
        except asyncio.CancelledError:
            self._hands.spool.release(entry.id)
            raise
        finally:
            self._telling = None
        if told is None:
            await self._hands.put_back(entry)
        elif self._stopping:
            self._hands.spool.release(entry.id)
        else:
            self._hands.window.restore(told)

    async def _told(self, entry: Entry) -> Entry | None:
        """Tell about *entry*, and return it with who is warned now; None when that cannot be done."""
        try:
            body = await self._hands.spool.body(entry.id)
            addresses = [recipient.address for recipient in entry.recipients]
            retries = {address: batch.route.retry for batch in self._table.batches(addresses, entry) for address in batch.recipients}
            # Where it was in the queue, also for the next process.
            due = max(entry.accepted_at, min(recipient.next_attempt for recipient in entry.recipients))
            decision = Decision(Settlement(entry.id, entry.recipients, due, leased=True), dict.fromkeys(addresses, WAITS))
            told = self._notices.told(entry, body, decision, Terms(self._lifetime, retries), self._clock())
        except Exception:  # noqa: BLE001 a warning that cannot be written holds nothing up; the cause is in the log
            _log.exception("delay not told", message_id=entry.id)
            return None
        await self._hands.write_down(told.settlement)
        bouncing.tell(told, entry, self._hands.observer)
        return replace(entry, recipients=told.settlement.remaining)
