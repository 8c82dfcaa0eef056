"""Leased messages that wait for their pace: a row of turns for each gate that holds them.

They wait apart from the others, so that a gate that is closed costs those nothing, however much waits behind it; and whoever was served by one
gate keeps its turn at another. Pure book-keeping; which gates there are, and when they open, is asked of `Paces`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from smtp_gateway.spool.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry
    from smtp_gateway.spool.lanes import Destinations


class Paces(Protocol):
    """How fast messages may start. A gate is whatever a message may have to wait for: a route, or a single destination."""

    def gate(self, destinations: Destinations) -> str | None:
        """Return the gate that holds messages for *destinations*, of several the one that opens last; None when there is none."""

    def opens_at(self, gate: str) -> float:
        """Return when *gate* lets the next message through, which may be past; infinity when it waits for no time."""

    def holds_until(self, entry: Entry, destinations: Destinations, now: float) -> float:
        """Return until when *entry* has to wait although its gate is open; *now* or earlier when it may start."""

    def start(self, entry: Entry, destinations: Destinations, now: float) -> None:
        """Take note that *entry* starts."""

    def end(self, entry: Entry) -> None:
        """Take note that the places of *entry* are free."""


class Unpaced:
    """No pace at all."""

    def gate(self, destinations: Destinations) -> str | None:
        """Return None."""
        del destinations
        return None

    def opens_at(self, gate: str) -> float:
        """Return that it is open."""
        del gate
        return -math.inf

    def holds_until(self, entry: Entry, destinations: Destinations, now: float) -> float:
        """Return *now*."""
        del entry, destinations
        return now

    def start(self, entry: Entry, destinations: Destinations, now: float) -> None:
        """Do nothing."""

    def end(self, entry: Entry) -> None:
        """Do nothing."""


class Terms(NamedTuple):
    """What is asked of the window before a message starts, and told it when one does."""

    has_place: Callable[[str], bool]
    fits: Callable[[Entry, Destinations], bool]
    run: Callable[[Entry, Destinations], None]


class Waiting(NamedTuple):
    """One lane of what waits."""

    destinations: Destinations
    first: Entry
    messages: int


RESTS = 1.0
"""Seconds for which a gate is left alone whose mail was found to wait for time alone: a look at five thousand lanes takes a quarter of a second,
and there would be one with each message that comes or goes anywhere. It is also how late a budget is noticed that was given back."""


class _Look:
    """One look at the lanes of a gate: what is asked of them, and what they wait for."""

    def __init__(self, paces: Paces, terms: Terms, now: float) -> None:
        self._paces = paces
        self._terms = terms
        self._now = now
        self.again = math.inf
        """When the first of those may start that have to wait although the gate is open."""
        self.crowded = False
        """Whether anything waits for a place, which may become free at any time."""

    def has_place(self, identity: str) -> bool:
        free = self._terms.has_place(identity)
        self.crowded = self.crowded or not free
        return free

    def fits(self, entry: Entry, destinations: Destinations) -> bool:
        until = self._paces.holds_until(entry, destinations, self._now)
        if until > self._now:
            self.again = min(self.again, until)
            return False
        free = self._terms.fits(entry, destinations)
        self.crowded = self.crowded or not free
        return free


class Paced:
    """What waits for its pace."""

    def __init__(self, paces: Paces) -> None:
        """Begin empty; *paces* says who may go."""
        self._paces = paces
        self._rows: dict[str, Lanes] = {}
        """By gate; none is empty."""
        self._ids: set[MessageId] = set()
        self._rests: dict[str, float] = {}
        """Until when a gate is left alone."""
        self.opens_at = math.inf
        """When the first of them may start, as far as that is a matter of time: at the last `start`."""

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._ids)

    def __contains__(self, message_id: object) -> bool:
        """Tell whether a message waits here."""
        return message_id in self._ids

    def __iter__(self) -> Iterator[Waiting]:
        """Yield every lane."""
        return (Waiting(lane[1], entries[0], len(entries)) for row in self._rows.values() for lane, entries in row)

    def entries(self) -> Iterator[Entry]:
        """Yield all that wait."""
        return (entry for row in self._rows.values() for _, entries in row for entry in entries)

    def add(self, gate: str, entry: Entry, destinations: Destinations, *, first: bool = False) -> None:
        """Let *entry* wait for *gate*, behind its like or, *first*, before them."""
        row = self._rows.setdefault(gate, Lanes())
        if not row.has((entry.identity, destinations)):
            self._rests.pop(gate, None)
        (row.restore if first else row.add)(entry, destinations)
        self._ids.add(entry.id)

    def start(self, terms: Terms, now: float) -> list[Entry]:
        """Return what may start, in turns at each gate, having told *terms* that it runs."""
        self.opens_at = math.inf
        return [entry for gate in list(self._rows) for entry in self._through(gate, terms, now)]

    def _through(self, gate: str, terms: Terms, now: float) -> Iterator[Entry]:
        """Yield what starts through *gate*, and note when it is to be asked again."""
        row, look = self._rows[gate], _Look(self._paces, terms, now)
        if (again := self._rests.get(gate, now)) > now:
            self.opens_at = min(self.opens_at, again)
            return
        again = math.inf
        while row:
            if (opens := self._paces.opens_at(gate)) > now:
                again = opens
                break
            if (lane := row.ready(look.has_place, look.fits)) is None:
                again = look.again
                if not look.crowded:
                    self._rests[gate] = min(again, now + RESTS)
                break
            entry = row.take(lane)
            self._taken(gate, entry)
            terms.run(entry, lane[1])
            yield entry
        self.opens_at = min(self.opens_at, again)

    def take_last(self) -> Entry:
        """Take the last entry of the longest lane."""
        lanes = ((len(entries), gate, lane) for gate, row in self._rows.items() for lane, entries in row)
        _, gate, lane = max(lanes, key=lambda one: one[0])
        return self._taken(gate, self._rows[gate].take_last(lane))

    def withdraw(self, message_id: MessageId) -> Entry | None:
        """Take one entry; None when it does not wait here."""
        for gate, row in self._rows.items() if message_id in self._ids else ():
            if entry := row.withdraw(message_id):
                return self._taken(gate, entry)
        return None

    def empty(self) -> list[Entry]:
        """Take all."""
        entries = [entry for row in self._rows.values() for _, lane in row for entry in lane]
        self._rows.clear()
        self._rests.clear()
        self._ids.clear()
        return entries

    def _taken(self, gate: str, entry: Entry) -> Entry:
        self._ids.discard(entry.id)
        if not self._rows[gate]:
            del self._rows[gate]
            self._rests.pop(gate, None)
        return entry
