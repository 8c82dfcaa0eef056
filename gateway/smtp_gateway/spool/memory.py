"""The spool's twin in memory: the same promises to its callers, except that nothing outlives the process.

For tests and for trying things out. `tests/contract/test_spool.py` holds it and the disk's spool to the same behaviour.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from smtp_gateway.spool.api import Depth, Entry, NewMessage, Settlement, SpoolUnavailableError

if TYPE_CHECKING:
    from smtp_gateway.mail.envelope import MessageId


@dataclass(slots=True)
class _Held:
    """One message and where it stands."""

    entry: Entry
    body: bytes
    due: float
    leased: bool = False


class MemorySpool:
    """A `smtp_gateway.spool.api.Spool` without a disk."""

    def __init__(self) -> None:
        """Begin empty."""
        self._held: dict[MessageId, _Held] = {}
        self._closed = False

    async def put(self, message: NewMessage, *, leased: bool = False) -> Entry:
        """See `Spool.put`."""
        if self._closed or message.id in self._held:
            reason = "the spool is closed" if self._closed else f"{message.id} is in the spool already"
            raise SpoolUnavailableError(reason)
        entry = self._add(message)
        self._held[message.id].leased = leased
        return entry

    def lease(self, now: float, limit: int) -> list[Entry]:
        """See `Spool.lease`."""
        waiting = sorted((held for held in self._held.values() if not held.leased and held.due <= now), key=lambda held: held.due)
        turns: Counter[str] = Counter()
        in_turns = []
        for held in waiting:
            turns[held.entry.identity] += 1
            in_turns.append((turns[held.entry.identity], held.entry.identity, held))
        chosen = [held for *_, held in sorted(in_turns, key=lambda turn: turn[:2])[:limit]]
        for held in chosen:
            held.leased = True
        return [held.entry for held in chosen]

    def release(self, message_id: MessageId) -> None:
        """See `Spool.release`."""
        held = self._held.get(message_id)
        if held is not None:
            held.leased = False

    def next_due(self, now: float) -> float | None:
        """See `Spool.next_due`."""
        return min((held.due for held in self._held.values() if held.due > now), default=None)

    async def body(self, message_id: MessageId) -> bytes:
        """See `Spool.body`."""
        return self._held[message_id].body

    async def settle(self, settlement: Settlement) -> None:
        """See `Spool.settle`."""
        held = self._held.get(settlement.id)
        if held is None or not held.leased:
            reason = f"{settlement.id} is not leased"
            raise ValueError(reason)
        if settlement.notice is not None:
            self._add(settlement.notice)
        if not settlement.remaining:
            del self._held[settlement.id]
            return
        held.entry = replace(held.entry, recipients=settlement.remaining)
        held.due, held.leased = settlement.next_attempt, False

    def depth(self) -> Depth:
        """See `Spool.depth`."""
        return Depth(len(self._held), min((held.entry.accepted_at for held in self._held.values()), default=None))

    def healthy(self) -> str | None:
        """See `Spool.healthy`."""
        return "the spool is closed" if self._closed else None

    async def close(self) -> None:
        """See `Spool.close`."""
        self._closed = True

    def _add(self, message: NewMessage) -> Entry:
        entry = message.as_entry()
        self._held[message.id] = _Held(entry, message.body, message.accepted_at)
        return entry
