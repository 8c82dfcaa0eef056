"""Waiting entries in the order in which they get their turn: identities take turns, and within each its destinations do.

A lane has the entries of one identity for the same destinations, in their order. Who is served goes to the end of the row. Pure
book-keeping; who may start is asked of the caller.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry

    Destinations = frozenset[str]
    """The next hops of one message: most often a single one."""
    Lane = tuple[str, Destinations]
    """Whose mail to where."""


class Lanes:
    """The lanes of one row."""

    def __init__(self) -> None:
        """Begin empty."""
        self._rows: dict[str, dict[Destinations, deque[Entry]]] = {}
        """By identity, then by destination; no deque is empty."""

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._rows)

    def __iter__(self) -> Iterator[tuple[Lane, deque[Entry]]]:
        """Yield each lane with its entries, from a copy: lanes may be taken out meanwhile."""
        return iter([((identity, where), entries) for identity, lanes in self._rows.items() for where, entries in lanes.items()])

    def has(self, lane: Lane) -> bool:
        """Tell whether anything waits in *lane*."""
        return lane[1] in self._rows.get(lane[0], ())

    def add(self, entry: Entry, destinations: Destinations) -> None:
        """Let *entry* wait behind its like."""
        self._rows.setdefault(entry.identity, {}).setdefault(destinations, deque()).append(entry)

    def restore(self, entry: Entry, destinations: Destinations) -> None:
        """Let *entry* wait before its like."""
        self._rows.setdefault(entry.identity, {}).setdefault(destinations, deque()).appendleft(entry)

    def ready(self, has_place: Callable[[str], bool], fits: Callable[[Entry, Destinations], bool]) -> Lane | None:
        """Return the lane whose turn it is among those that may start; None when there is none."""
        for identity, lanes in self._rows.items():
            if not has_place(identity):
                continue
            for destinations, entries in lanes.items():
                if fits(entries[0], destinations):
                    return identity, destinations
        return None

    def take(self, lane: Lane) -> Entry:
        """Take the first entry of *lane*, and let the identity, and the lane within it, go to the end of their rows."""
        identity, destinations = lane
        lanes = self._rows.pop(identity)
        entries = lanes.pop(destinations)
        entry = entries.popleft()
        if entries:
            lanes[destinations] = entries
        if lanes:
            self._rows[identity] = lanes
        return entry

    def forget(self, lane: Lane) -> deque[Entry]:
        """Take all entries of *lane*."""
        lanes = self._rows[lane[0]]
        entries = lanes.pop(lane[1])
        if not lanes:
            del self._rows[lane[0]]
        return entries

    def take_last(self, lane: Lane) -> Entry:
        """Take the entry of *lane* that came last."""
        entries = self._rows[lane[0]][lane[1]]
        entry = entries.pop()
        if not entries:
            self.forget(lane)
        return entry

    def withdraw(self, message_id: MessageId) -> Entry | None:
        """Take one entry, wherever it waits; None when it does not. Looks at all of them."""
        for lane, entries in self:
            for entry in entries:
                if entry.id == message_id:
                    entries.remove(entry)
                    if not entries:
                        self.forget(lane)
                    return entry
        return None
