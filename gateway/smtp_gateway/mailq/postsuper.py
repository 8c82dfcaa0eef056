"""What a person may do to queued messages: hold, release, retry, remove. After Postfix's superintendent, postsuper(1).

Promises: a message in an attempt is left alone and reported as such, because its next hop may have it already; one that merely waits for
its turn is reached. What is reported as done is on the disk. Each removal is one log line.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import structlog

from smtp_gateway.spool.api import Selection, SpoolUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry, Listed, Spool
    from smtp_gateway.telemetry.observer import Observer

    Change = Callable[[Listed], asyncio.Future[bool] | "Result"]

TRIES = 5
"""Looks at a message that is leased whenever a change of it is written; each time it was given back a moment before."""

_log = structlog.get_logger()


class Action(StrEnum):
    """What can be done to a message."""

    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    FLUSH = "flush"
    """A retry that leaves resting destinations alone: a flush has called them all at its beginning, and should not do so at each page."""
    REMOVE = "remove"


class Result(StrEnum):
    """What became of it."""

    DONE = "done"
    DELIVERING = "delivering"
    """Left alone, because an attempt is under way."""
    HELD = "held"
    """Not retried, because it is held."""
    ABSENT = "absent"
    """There is no such message (any more)."""
    UNWRITTEN = "unwritten"
    """The spool could not write it down; nothing has changed."""


class Delivery(Protocol):
    """What is asked of dispatch."""

    def withdraw(self, message_id: MessageId) -> bool:
        """Give a waiting message back to the spool; False when it does not wait here, or is being delivered."""

    def delivering(self, message_id: MessageId) -> bool:
        """Tell whether an attempt is under way."""

    def revive(self, entry: Entry) -> None:
        """Try the destinations of *entry* again, should they rest."""

    def flush(self) -> None:
        """Try all destinations again."""

    def wake(self) -> None:
        """Look at the queue now."""


class Superintendent:
    """Changes what becomes of queued messages."""

    def __init__(self, spool: Spool, delivery: Delivery, observer: Observer, clock: Callable[[], float]) -> None:
        """Change *spool*, past *delivery*; *clock* tells seconds since the epoch."""
        self._spool = spool
        self._delivery = delivery
        self._observer = observer
        self._clock = clock
        self._changes: Mapping[Action, Change] = {
            Action.HOLD: self._hold,
            Action.RELEASE: self._release,
            Action.RETRY: self._retry,
            Action.FLUSH: self._flush,
            Action.REMOVE: self._remove,
        }

    async def carry_out(self, action: Action, ids: Iterable[MessageId]) -> Mapping[MessageId, Result]:
        """Do *action* to each of *ids*, and return when what was done is durable, in their order.

        Raises `SpoolUnavailableError` when nothing was begun.
        """
        wanted = dict.fromkeys(ids, Result.ABSENT)
        await self._spool.until_readable()
        found = self._listed(wanted.keys())
        results = await asyncio.gather(*(self._carry_out(action, listed) for listed in found))
        self._delivery.wake()
        return wanted | {listed.entry.id: result for listed, result in zip(found, results, strict=True)}

    async def _carry_out(self, action: Action, listed: Listed) -> Result:
        try:
            result = await self._insist(self._changes[action], listed)
        except SpoolUnavailableError as fault:
            _log.error("queue command not written", message_id=listed.entry.id, reason=str(fault))
            return Result.UNWRITTEN
        if action is Action.REMOVE and result is Result.DONE:
            self._tell(listed.entry)
        return result

    async def _insist(self, change: Change, listed: Listed) -> Result:
        """Change a message; once more, when it was leased between the look at it and the writing of the change."""
        for _ in range(TRIES):
            begun = change(listed)
            if isinstance(begun, Result):
                return begun
            if await begun:
                return Result.DONE
            await self._spool.until_readable()
            found = self._listed({listed.entry.id})
            if not found:
                return Result.ABSENT
            listed = found[0]
        return Result.DELIVERING

    def _listed(self, ids: AbstractSet[MessageId]) -> list[Listed]:
        return self._spool.listing(Selection(ids=frozenset(ids)), len(ids))

    def _hold(self, listed: Listed) -> asyncio.Future[bool] | Result:
        if listed.held:
            return Result.DONE
        return self._spool.hold(listed.entry.id) if self._within_reach(listed) else Result.DELIVERING

    def _release(self, listed: Listed) -> asyncio.Future[bool] | Result:
        return self._spool.unhold(listed.entry.id) if listed.held else Result.DONE

    def _retry(self, listed: Listed) -> asyncio.Future[bool] | Result:
        if not listed.held:
            # A deferral without a connection, because its destination rests, is not what was asked for.
            self._delivery.revive(listed.entry)
        return self._flush(listed)

    def _flush(self, listed: Listed) -> asyncio.Future[bool] | Result:
        if listed.held:
            return Result.HELD
        if self._delivery.delivering(listed.entry.id):
            return Result.DELIVERING
        return Result.DONE if listed.leased else self._spool.retry(listed.entry.id, self._clock())

    def _remove(self, listed: Listed) -> asyncio.Future[bool] | Result:
        return self._spool.remove(listed.entry.id) if self._within_reach(listed) else Result.DELIVERING

    def _within_reach(self, listed: Listed) -> bool:
        return not listed.leased or self._delivery.withdraw(listed.entry.id)

    def _tell(self, entry: Entry) -> None:
        age = round(self._clock() - entry.accepted_at, 3)
        to = [recipient.address for recipient in entry.recipients]
        _log.info("removed", message_id=entry.id, age=age, sender=entry.sender, identity=entry.identity, size=entry.size, to=to)
        self._observer.removed()
