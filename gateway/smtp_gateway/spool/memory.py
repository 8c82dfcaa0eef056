"""The spool's twin in memory: the same promises to its callers, except that nothing outlives the process.

For tests and for trying things out. `tests/contract/test_spool.py` holds it and the disk's spool to the same behaviour.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from smtp_gateway.spool.api import Arrears, Depth, Entry, Listed, NewMessage, Settlement, SpoolUnavailableError
from smtp_gateway.spool.bodies import BLOCK, HEADERS, LARGE
from smtp_gateway.spool.history import extended
from smtp_gateway.spool.listing import selects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from smtp_gateway.mail.body import Body
    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Attempted, Selection, UnderWay


T = TypeVar("T")


@dataclass(slots=True)
class _Held:
    """One message and where it stands."""

    entry: Entry
    body: bytes
    due: float
    leased: bool = False
    held: bool = False
    history: dict[int, Attempted] = field(default_factory=dict)

    @property
    def listed(self) -> Listed:
        return Listed(self.entry, self.due, self.held, self.leased)


class MemoryDraft:
    """A `smtp_gateway.spool.api.Draft` in memory: never behind."""

    backlog = 0

    def __init__(self, message_id: MessageId) -> None:
        """Begin the body of *message_id*."""
        self.message_id = message_id
        self.octets = bytearray()

    @property
    def size(self) -> int:
        """See `Draft.size`."""
        return len(self.octets)

    def write(self, octets: bytes) -> None:
        """See `Draft.write`."""
        self.octets += octets

    def when_written(self, resume: Callable[[], None]) -> None:
        """See `Draft.when_written`."""
        asyncio.get_running_loop().call_soon(resume)

    def discard(self) -> None:
        """See `Draft.discard`: what nobody refers to is gone."""


@dataclass(frozen=True, slots=True)
class MemoryBody:
    """A `smtp_gateway.mail.body.StoredBody` in memory."""

    octets: bytes

    @property
    def size(self) -> int:
        """See `StoredBody.size`."""
        return len(self.octets)

    @property
    def headers(self) -> bytes:
        """See `StoredBody.headers`."""
        end = self.octets.find(b"\r\n\r\n", 0, HEADERS)
        return self.octets[: HEADERS if end < 0 else end + 4]

    async def blocks(self) -> AsyncIterator[bytes]:
        """See `StoredBody.blocks`."""
        for start in range(0, len(self.octets), BLOCK):
            yield self.octets[start : start + BLOCK]


class MemorySpool:
    """A `smtp_gateway.spool.api.Spool` without a disk."""

    def __init__(self) -> None:
        """Begin empty."""
        self._held: dict[MessageId, _Held] = {}
        self._served: dict[str, int] = {}
        """When each identity had its last turn, as a number that grows."""
        self._closed = False

    def put(self, message: NewMessage, *, leased: bool = False) -> asyncio.Future[Entry]:
        """See `Spool.put`."""
        done: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        if self._closed or message.id in self._held:
            reason = "the spool is closed" if self._closed else f"{message.id} is in the spool already"
            done.set_exception(SpoolUnavailableError(reason))
        else:
            done.set_result(self._add(message))
            self._held[message.id].leased = leased
        return done

    def draft(self, message_id: MessageId) -> MemoryDraft:
        """See `Spool.draft`."""
        return MemoryDraft(message_id)

    def lease(self, now: float, limit: int) -> list[Entry]:
        """See `Spool.lease`."""
        waiting = sorted(
            (held for held in self._held.values() if not held.leased and not held.held and held.due <= now), key=lambda held: held.due
        )
        turns: Counter[str] = Counter()
        in_turns = []
        for held in waiting:
            turns[held.entry.identity] += 1
            in_turns.append((turns[held.entry.identity], self._served.get(held.entry.identity, 0), held))
        chosen = [held for *_, held in sorted(in_turns, key=lambda turn: turn[:2])[:limit]]
        for number, held in enumerate(chosen, max(self._served.values(), default=0) + 1):
            held.leased = True
            self._served[held.entry.identity] = number
        return [held.entry for held in chosen]

    def release(self, message_id: MessageId) -> None:
        """See `Spool.release`."""
        held = self._held.get(message_id)
        if held is not None:
            held.leased = False

    def next_due(self, now: float) -> float | None:
        """See `Spool.next_due`."""
        return min((held.due for held in self._held.values() if held.due > now and not held.held), default=None)

    async def body(self, message_id: MessageId) -> Body:
        """See `Spool.body`."""
        octets = self._held[message_id].body
        return octets if len(octets) <= LARGE else MemoryBody(octets)

    def settle(self, settlement: Settlement) -> asyncio.Future[None]:
        """See `Spool.settle`."""
        held = self._held.get(settlement.id)
        if held is None or not held.leased:
            reason = f"{settlement.id} is not leased"
            raise ValueError(reason)
        if settlement.notice is not None:
            self._add(settlement.notice)
        if settlement.remaining:
            held.entry = replace(held.entry, recipients=settlement.remaining)
            held.due, held.leased = settlement.next_attempt, settlement.leased
            held.history = extended(held.history, settlement.history)
        else:
            del self._held[settlement.id]
        return _done(None)

    async def until_readable(self) -> None:
        """See `Spool.until_readable`."""

    def entry(self, message_id: MessageId) -> Entry | None:
        """See `Spool.entry`."""
        held = self._held.get(message_id)
        return None if held is None else held.entry

    def history(self, message_id: MessageId) -> tuple[Attempted, ...]:
        """See `Spool.history`."""
        held = self._held.get(message_id)
        return () if held is None else tuple(held.history.values())

    def listing(self, selection: Selection, limit: int, after: str = "") -> list[Listed]:
        """See `Spool.listing`."""
        found = (self._held[one].listed for one in sorted(self._held) if one > after)
        return [listed for listed in found if selects(selection, listed)][:limit]

    def stride(self, after: str, messages: int) -> str | None:
        """See `Spool.stride`."""
        later = sorted(one for one in self._held if one > after)
        return later[messages - 1] if len(later) >= messages else None

    def hold(self, message_id: MessageId) -> asyncio.Future[bool]:
        """See `Spool.hold`."""
        return self._alter(message_id, lambda held: setattr(held, "held", True))

    def unhold(self, message_id: MessageId) -> asyncio.Future[bool]:
        """See `Spool.unhold`."""
        return self._alter(message_id, lambda held: setattr(held, "held", False))

    def retry(self, message_id: MessageId, now: float) -> asyncio.Future[bool]:
        """See `Spool.retry`."""

        def make_due(held: _Held) -> None:
            held.due = now
            held.entry = replace(held.entry, recipients=tuple(replace(one, next_attempt=now) for one in held.entry.recipients))

        return self._alter(message_id, make_due)

    def remove(self, message_id: MessageId) -> asyncio.Future[bool]:
        """See `Spool.remove`."""
        return self._alter(message_id, lambda held: self._held.pop(held.entry.id))

    def _alter(self, message_id: MessageId, alter: Callable[[_Held], object]) -> asyncio.Future[bool]:
        held = self._held.get(message_id)
        if held is None or held.leased:
            return _done(False)  # noqa: FBT003 the result of the future
        alter(held)
        return _done(True)  # noqa: FBT003 the result of the future

    def depth(self) -> Depth:
        """See `Spool.depth`."""
        return Depth(len(self._held), min((held.entry.accepted_at for held in self._held.values()), default=None))

    def arrears(self, now: float, under_way: UnderWay) -> Arrears:
        """See `Spool.arrears`."""
        moving = [held for held in self._held.values() if not held.held]
        earliest = min((held.due for held in moving if not under_way(held.entry.id)), default=now)
        oldest = next((held.entry.accepted_at for held in moving), None)
        return Arrears(len(self._held) - len(moving), oldest, max(0.0, now - earliest))

    def healthy(self) -> str | None:
        """See `Spool.healthy`."""
        return "the spool is closed" if self._closed else None

    def space(self) -> None:
        """See `Spool.space`. Memory is no volume."""

    async def close(self) -> None:
        """See `Spool.close`."""
        self._closed = True

    def _add(self, message: NewMessage) -> Entry:
        entry = message.as_entry()
        self._held[message.id] = _Held(entry, octets(message), message.accepted_at)
        return entry


def _done(result: T) -> asyncio.Future[T]:
    done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    done.set_result(result)
    return done


def octets(message: NewMessage) -> bytes:
    """Return the body of *message*. Raises `ValueError` for one that was not drafted for it here."""
    if isinstance(message.body, bytes):
        return message.body
    if not isinstance(message.body, MemoryDraft) or message.body.message_id != message.id:
        reason = f"{message.id} was given a body that was not drafted for it"
        raise ValueError(reason)
    return bytes(message.body.octets)
