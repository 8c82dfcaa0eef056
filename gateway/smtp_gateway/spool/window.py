"""The bounded window on the queue: which leased messages are being delivered, and which wait for a free connection.

Pure book-keeping, in the manner of Postfix's active queue. Three bounds decide whether a message may start: messages in all, messages
towards one destination (so that one hanging next hop does not take every place), and octets in memory. Identities take turns, and
within each its destinations do: one application's newsletter to a thousand domains does not delay another's password mail. A part of each
bound is kept back (`kept_back`) for identities that have nothing under way there, so that such a mail need not even wait until one of the
newsletter's has ended; while no second identity is known, nothing is kept back.

A message gives its place up when its next hop has answered, and its result is written down behind its back. What a crash would deliver
twice is what was answered and is not written down yet: towards one destination never more than there are places.

When the window is full, the messages for a destination that has stood still for a while are handed back for later, so that others are seen.

A destination that is slow, and does move, keeps its part of the window: behind a backlog of more than `Bounds.waiting` for it, others wait.

Messages whose pace does not allow them to go yet (`Paces`) wait apart, in a row of turns for each gate that holds them, and fill no place
of others. Beyond `Bounds.paced` of them, the last of whoever has most are handed back for later.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from smtp_gateway.spool import paced
from smtp_gateway.spool.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry
    from smtp_gateway.spool.lanes import Destinations, Lane


HELD = 512 * 1024
"""Octets of a large body that are in memory while it is delivered: a block that is read, and one that is sent."""

FEW = 4
"""Places of which none is kept back: a destination that is approached with care gets what it can take."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may go on at once."""

    attempts: int = 200
    """Messages in delivery, or delivered and not written down yet. One destination gets 20 at most, with which most of the throughput was reached when it was measured; the
    rest is for others. Next hops that hang take five places each until they rest, so forty of them at once would take them all."""
    per_destination: int = 20
    """Messages in delivery towards one destination, and fewer where the ceiling is lower."""
    octets: int = 64 * 1024 * 1024
    """Bodies in memory, of a large one `HELD`."""
    waiting: int = 1000
    """Leased messages that wait for their turn; about a kilobyte each."""
    paced: int = 5000
    """Leased messages that wait for their pace, beside those; about a kilobyte each, and a microsecond whenever lateness is asked for."""
    share: int = 20
    """Waiting messages that each identity may have although the window is full: as many as may run towards one destination."""
    still: float = 10.0
    """Seconds without any message begun or ended after which a full destination counts as standing still."""


def kept_back(bound: int) -> int:
    """Return how much of *bound* is for identities that have nothing of it: a tenth, at least one; of fewer than four nothing."""
    return max(bound // 10, 1) if bound >= FEW else 0


@dataclass(slots=True)
class _Traffic:
    """What is under way towards one destination."""

    moved: float
    """When a message last began or was answered."""
    by: Counter[str] = field(default_factory=Counter)
    """Places taken, by identity."""
    places: int = 0
    """The sum of them."""
    unwritten: int = 0
    """Messages that were answered, and whose result is not written down yet."""


class Window:
    """What is leased: running, or waiting to run. Times are seconds of any one clock that does not go back."""

    def __init__(
        self,
        bounds: Bounds,
        destinations: Callable[[Entry], Destinations],
        ceiling: Callable[[str], int | None] = lambda _: None,
        paces: paced.Paces | None = None,
    ) -> None:
        """Begin empty; *destinations* tells where a message goes at the moment, *ceiling* how many may run towards one if that is fewer."""
        self._bounds = bounds
        self._destinations = destinations
        self._ceiling = ceiling
        self._paces = paces or paced.Unpaced()
        self.paced = paced.Paced(self._paces)
        """What waits for its pace, apart from the others."""
        self._waiting = Lanes()
        self._held: Counter[str] = Counter()
        """Waiting entries of each identity, those that wait for their pace among them."""
        self._size = 0
        """Waiting entries without those."""
        self.caught_up = False
        """Whether everything that is due waits here: the last lease had less than was asked for, and nothing came since."""
        self._running: dict[MessageId, tuple[Entry, Destinations]] = {}
        """What is in delivery, and what was answered and is not written down yet."""
        self._answered: set[MessageId] = set()
        """Those of the second kind: they hold no place."""
        self._towards: dict[str, _Traffic] = {}
        self._busy: Counter[str] = Counter()
        """Messages in delivery of each identity."""
        self._octets = 0
        self._known: set[str] = set()
        """The identities that ever had mail here: names of Secrets, so they are few. The gateway's own notices are nobody's."""

    @property
    def appetite(self) -> int:
        """How many messages to lease now; 0 until half of the waiting ones are gone, so that leasing is done in strides."""
        room = self._bounds.waiting - self._size
        return room if room * 2 >= self._bounds.waiting else 0

    def welcomes(self, identity: str) -> bool:
        """Tell whether a new message of *identity* may wait here at once: when few of its own do, or when it overtakes nobody."""
        return self._held[identity] < self._bounds.share or (self.caught_up and self._size < self._bounds.waiting)

    def add(self, entry: Entry) -> None:
        """Let a leased *entry* wait for its turn."""
        destinations = self._destinations(entry)
        self._wait(entry, destinations, self._paces.gate(destinations))

    def admit(self, entry: Entry, now: float) -> bool:
        """Count a leased *entry* as running when it may start and would overtake none of its own; otherwise let it wait for its turn.

        What has a pace waits, if only for `start`.
        """
        destinations = self._destinations(entry)
        gate = self._paces.gate(destinations)
        if gate is not None or self._waiting.has((entry.identity, destinations)) or not self._may(entry, destinations):
            self._wait(entry, destinations, gate)
            return False
        self._know(entry.identity)
        self._run(entry, destinations, now)
        return True

    def start(self, now: float) -> list[Entry]:
        """Return the waiting entries that may start, and count them as running: in turns, and in each turn by their order."""
        started, slowed = self._start_paced(now), False
        while self._waiting and (lane := self._waiting.ready(self._has_place, self._fits)):
            if (gate := self._paces.gate(lane[1])) is not None:
                self._slow_down(lane, gate)
                slowed = True
                continue
            entry = self._waiting.take(lane)
            self._count_out(entry.identity, 1)
            self._run(entry, lane[1], now)
            started.append(entry)
        return [*started, *self._start_paced(now)] if slowed else started

    def _start_paced(self, now: float) -> list[Entry]:
        if not self.paced:
            return []

        def run(entry: Entry, destinations: Destinations) -> None:
            _count_out(self._held, entry.identity, 1)
            self._run(entry, destinations, now)

        return self.paced.start(paced.Terms(self._has_place, self._fits, run), now)

    def crowded_out(self, now: float) -> list[Entry]:
        """Return the waiting entries to put back, which then count no longer: when the window is full, those that are behind a standstill.

        And the last of those that wait for their pace, where they are too many.
        """
        beyond = [self.paced.take_last() for _ in range(len(self.paced) - self._bounds.paced)]
        for entry in beyond:
            _count_out(self._held, entry.identity, 1)
        if self.appetite:
            return beyond
        standing = [lane for lane, _ in self._waiting if any(self._stands(one, lane[0], now) for one in lane[1])]
        return beyond + [entry for lane in standing for entry in self._forget(lane)]

    def answered(self, message_id: MessageId, now: float) -> None:
        """Make the place of a running message free: its next hops have answered, and what remains is to write down what."""
        entry, destinations = self._running[message_id]
        self._answered.add(message_id)
        self._leave(entry, destinations, now)
        for destination in destinations:
            self._towards[destination].unwritten += 1

    def finish(self, message_id: MessageId, now: float) -> None:
        """Forget a running message: its result is written down, or it came to none."""
        entry, destinations = self._running.pop(message_id)
        if message_id in self._answered:
            self._answered.discard(message_id)
            for destination in destinations:
                self._towards[destination].unwritten -= 1
        else:
            self._leave(entry, destinations, now)
        for destination in destinations:
            traffic = self._towards[destination]
            if not traffic.places and not traffic.unwritten:
                del self._towards[destination]

    def running(self, message_id: MessageId) -> bool:
        """Tell whether a message is running, or what became of it is being written down."""
        return message_id in self._running

    def withdraw(self, message_id: MessageId) -> bool:
        """Forget a waiting entry; False when it does not wait here. Looks at all of them, so it is for people, not for each message."""
        if entry := self._waiting.withdraw(message_id):
            self._count_out(entry.identity, 1)
            return True
        return self.take(message_id) is not None

    def take(self, message_id: MessageId) -> Entry | None:
        """Return an entry that waits for its pace and forget it; None when it does not. Looks at all of them."""
        entry = self.paced.withdraw(message_id)
        if entry is not None:
            _count_out(self._held, entry.identity, 1)
        return entry

    def restore(self, entry: Entry) -> None:
        """Let an *entry* that was taken wait again, before its like."""
        destinations = self._destinations(entry)
        self._wait(entry, destinations, self._paces.gate(destinations), first=True)

    def reroute(self) -> None:
        """Look up the destinations of the waiting entries again, after the routes changed."""
        for entry in self.empty():
            self.add(entry)

    def empty(self) -> list[Entry]:
        """Return all waiting entries and forget them."""
        slow = self.paced.empty()
        for entry in slow:
            _count_out(self._held, entry.identity, 1)
        return [entry for lane, _ in self._waiting for entry in self._forget(lane)] + slow

    def _forget(self, lane: Lane) -> Iterable[Entry]:
        entries = self._waiting.forget(lane)
        self._count_out(lane[0], len(entries))
        return entries

    def _wait(self, entry: Entry, destinations: Destinations, gate: str | None, *, first: bool = False) -> None:
        self._know(entry.identity)
        self._held[entry.identity] += 1
        if gate is not None:
            self.paced.add(gate, entry, destinations, first=first)
            return
        (self._waiting.restore if first else self._waiting.add)(entry, destinations)
        self._size += 1

    def _slow_down(self, lane: Lane, gate: str) -> None:
        """Let what waits in *lane* wait for its pace."""
        for entry in self._forget(lane):
            self._wait(entry, lane[1], gate)

    def _know(self, identity: str) -> None:
        if identity:
            self._known.add(identity)

    def _count_out(self, identity: str, entries: int) -> None:
        self._size -= entries
        _count_out(self._held, identity, entries)

    def _may(self, entry: Entry, destinations: Destinations) -> bool:
        return self._has_place(entry.identity) and self._fits(entry, destinations)

    def _has_place(self, identity: str) -> bool:
        return len(self._running) < self._open_to(self._bounds.attempts, self._busy[identity])

    def _fits(self, entry: Entry, destinations: Destinations) -> bool:
        if any(self._full(one, entry.identity) for one in destinations):
            return False
        room = self._open_to(self._bounds.octets, self._busy[entry.identity])
        return not self._busy or self._octets + _held(entry) <= room

    def _open_to(self, bound: int, taken: int) -> int:
        """Return how much of *bound* is open to an identity that has *taken* some of it."""
        return bound - kept_back(bound) if taken and len(self._known) > 1 else bound

    def _full(self, destination: str, identity: str) -> bool:
        traffic = self._towards.get(destination)
        if traffic is None:
            return False
        ceiling = self._ceiling(destination)
        bound = self._bounds.per_destination if ceiling is None else min(ceiling, self._bounds.per_destination)
        return traffic.unwritten >= bound or traffic.places >= self._open_to(bound, traffic.by[identity])

    def _stands(self, destination: str, identity: str, now: float) -> bool:
        return self._full(destination, identity) and now - self._towards[destination].moved >= self._bounds.still

    def _run(self, entry: Entry, destinations: Destinations, now: float) -> None:
        self._running[entry.id] = (entry, destinations)
        self._octets += _held(entry)
        self._busy[entry.identity] += 1
        for destination in destinations:
            traffic = self._towards.setdefault(destination, _Traffic(now))
            traffic.places += 1
            traffic.by[entry.identity] += 1
            traffic.moved = now
        self._paces.start(entry, destinations, now)

    def _leave(self, entry: Entry, destinations: Destinations, now: float) -> None:
        """Make the places of *entry* free."""
        self._octets -= _held(entry)
        _count_out(self._busy, entry.identity, 1)
        for destination in destinations:
            traffic = self._towards[destination]
            traffic.places -= 1
            _count_out(traffic.by, entry.identity, 1)
            traffic.moved = now
        self._paces.end(entry)


def _count_out(counter: Counter[str], name: str, number: int) -> None:
    """Take *number* from what is counted of *name*; what is none is not kept."""
    counter[name] -= number
    if not counter[name]:
        del counter[name]


def _held(entry: Entry) -> int:
    return min(entry.size, HELD)


class InHand:
    """Bodies that wait for their delivery in memory, as far as there is room."""

    def __init__(self, octets: int) -> None:
        """Have room for *octets*."""
        self._room = octets
        self._bodies: dict[MessageId, bytes] = {}

    def keep(self, message_id: MessageId, body: bytes) -> None:
        """Keep *body* if it fits."""
        if len(body) <= self._room:
            self._room -= len(body)
            self._bodies[message_id] = body

    def drop(self, message_id: MessageId) -> bytes | None:
        """Return the body and keep it no longer; None when it is not here."""
        body = self._bodies.pop(message_id, None)
        self._room += len(body or b"")
        return body
