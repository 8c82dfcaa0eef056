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


class Paced:
    """What waits for its pace."""

    def __init__(self, paces: Paces) -> None:
        """Begin empty; *paces* says who may go."""
        self._paces = paces
        self._rows: dict[str, Lanes] = {}
        """By gate; none is empty."""
        self._ids: set[MessageId] = set()
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

    def add(self, gate: str, entry: Entry, destinations: Destinations) -> None:
        """Let *entry* wait for *gate*."""
        self._rows.setdefault(gate, Lanes()).add(entry, destinations)
        self._ids.add(entry.id)

    def start(self, terms: Terms, now: float) -> list[Entry]:
        """Return what may start, in turns at each gate, having told *terms* that it runs."""
        self.opens_at = math.inf
        return [entry for gate in list(self._rows) for entry in self._through(gate, terms, now)]

    def _through(self, gate: str, terms: Terms, now: float) -> Iterator[Entry]:
        """Yield what starts through *gate*, and note when it is to be asked again."""
        row, again = self._rows[gate], math.inf

        def fits(entry: Entry, destinations: Destinations) -> bool:
            nonlocal again
            until = self._paces.holds_until(entry, destinations, now)
            if until > now:
                again = min(again, until)
            return until <= now and terms.fits(entry, destinations)

        while row:
            if (opens := self._paces.opens_at(gate)) > now:
                again = opens
                break
            if (lane := row.ready(terms.has_place, fits)) is None:
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
        self._ids.clear()
        return entries

    def _taken(self, gate: str, entry: Entry) -> Entry:
        self._ids.discard(entry.id)
        if not self._rows[gate]:
            del self._rows[gate]
        return entry
