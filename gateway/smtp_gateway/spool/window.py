"""The bounded window on the queue: which leased messages are being delivered, and which wait for a free connection.

Pure book-keeping, in the manner of Postfix's active queue. Three bounds decide whether a message may start: messages in all, messages
towards one destination (so that one hanging next hop does not take every place), and octets in memory. Destinations take turns. When
the window is full, the messages for a destination that has stood still for a while are handed back for later, so that others are seen.

A destination that is slow, and does move, keeps its part of the window: behind a backlog of more than `Bounds.waiting` for it, others wait.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry

    Destinations = frozenset[str]
    """The next hops of one message: most often a single one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may go on at once."""

    attempts: int = 40
    """Messages in delivery: with 20 connections most of the throughput was reached when it was measured, and some of these wait."""
    per_destination: int = 20
    """Half of them: what a hanging next hop can take."""
    octets: int = 64 * 1024 * 1024
    """Bodies in memory; one larger message is let through alone."""
    waiting: int = 1000
    """Leased messages that wait for their turn; about a kilobyte each."""
    still: float = 10.0
    """Seconds without any message begun or ended after which a full destination counts as standing still."""


class Window:
    """What is leased: running, or waiting to run. Times are seconds of any one clock that does not go back."""

    def __init__(self, bounds: Bounds, destinations: Callable[[Entry], Destinations]) -> None:
        """Begin empty; *destinations* tells where a message goes at the moment."""
        self._bounds = bounds
        self._destinations = destinations
        self._waiting: dict[Destinations, deque[Entry]] = {}
        self._size = 0
        self._running: dict[MessageId, tuple[Entry, Destinations]] = {}
        self._towards: dict[str, int] = {}
        self._moved: dict[str, float] = {}
        """When a message towards a busy destination last began or ended."""
        self._octets = 0

    @property
    def appetite(self) -> int:
        """How many messages to lease now; 0 until half of the waiting ones are gone, so that leasing is done in strides."""
        room = self._bounds.waiting - self._size
        return room if room * 2 >= self._bounds.waiting else 0

    def add(self, entry: Entry) -> None:
        """Let a leased *entry* wait for its turn."""
        self._waiting.setdefault(self._destinations(entry), deque()).append(entry)
        self._size += 1

    def start(self, now: float) -> list[Entry]:
        """Return the waiting entries that may start, and count them as running: in turns by destination, in each by their order."""
        started: list[Entry] = []
        while ready := self._next_ready():
            entry = self._waiting[ready].popleft()
            rest = self._waiting.pop(ready)
            if rest:
                self._waiting[ready] = rest  # at the end now: the others come first
            self._size -= 1
            self._run(entry, ready, now)
            started.append(entry)
        return started

    def crowded_out(self, now: float) -> list[Entry]:
        """Return the waiting entries to put back, which then count no longer: when the window is full, those that are behind a standstill."""
        if self.appetite:
            return []
        standing = [destinations for destinations in self._waiting if any(self._stands(one, now) for one in destinations)]
        return [entry for destinations in standing for entry in self._forget(destinations)]

    def finish(self, message_id: MessageId, now: float) -> None:
        """Make the place of a running message free."""
        entry, destinations = self._running.pop(message_id)
        self._octets -= entry.size
        for destination in destinations:
            self._towards[destination] -= 1
            self._moved[destination] = now
            if not self._towards[destination]:
                del self._towards[destination], self._moved[destination]

    def reroute(self) -> None:
        """Look up the destinations of the waiting entries again, after the routes changed."""
        for entry in self.empty():
            self.add(entry)

    def empty(self) -> list[Entry]:
        """Return all waiting entries and forget them."""
        return [entry for destinations in tuple(self._waiting) for entry in self._forget(destinations)]

    def _forget(self, destinations: Destinations) -> deque[Entry]:
        entries = self._waiting.pop(destinations)
        self._size -= len(entries)
        return entries

    def _next_ready(self) -> Destinations | None:
        if len(self._running) >= self._bounds.attempts:
            return None
        return next((destinations for destinations, entries in self._waiting.items() if self._fits(entries[0], destinations)), None)

    def _fits(self, entry: Entry, destinations: Destinations) -> bool:
        if not self._running:
            return True
        return self._octets + entry.size <= self._bounds.octets and not any(self._full(one) for one in destinations)

    def _full(self, destination: str) -> bool:
        return self._towards.get(destination, 0) >= self._bounds.per_destination

    def _stands(self, destination: str, now: float) -> bool:
        return self._full(destination) and now - self._moved[destination] >= self._bounds.still

    def _run(self, entry: Entry, destinations: Destinations, now: float) -> None:
        self._running[entry.id] = (entry, destinations)
        self._octets += entry.size
        for destination in destinations:
            self._towards[destination] = self._towards.get(destination, 0) + 1
            self._moved[destination] = now
