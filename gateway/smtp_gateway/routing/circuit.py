"""How a destination fares, and what it may be given: few attempts at a time at first, more with each session, and a rest after misses.

While a destination rests, mail for it is deferred without a connection, so that a hanging next hop costs no place that another
destination could use. Rests follow the curve of the route's retries. After a rest one attempt goes first, and each session lets one
more run at a time, as TCP's slow start does.

Only what says nothing about the mail counts as a miss (`Deferred.unreached`): a next hop that answers, even with a refusal, is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smtp_gateway.mail.outcome import Deferred

MISSES = 5
"""Attempts in a row without a session before the first rest: as many as may run at first, all of which have to fail before Postfix
takes a destination for dead (default_destination_concurrency_failed_cohort_limit)."""
AFTER_REST = 1
"""Attempts at a time after a rest."""
AT_FIRST = 5
"""Attempts at a time towards a destination that nothing is known of (Postfix: initial_destination_concurrency)."""
MOST = 20
"""Attempts at a time towards one that answers (Postfix: default_destination_concurrency_limit)."""
REMEMBERED = 10_000
"""Destinations that are kept in memory, about half a kilobyte each: a list of dead addresses can name any number of domains."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is remembered of one destination."""

    ceiling: int = AT_FIRST
    """Attempts that may run at a time."""
    misses: int = 0
    """Attempts without a session since the last one with one."""
    rests: int = 0
    """Rests since the last session."""
    until: float = 0.0
    """When the present or last rest ends, in seconds since the epoch."""
    last: Deferred | None = None
    """What the last attempt without a session came to; None after one with a session."""

    def resting(self, now: float) -> Deferred | None:
        """Return what mail comes to that is not tried at *now*; None when it may be tried."""
        return self.last if now < self.until else None


UNKNOWN = Circuit()
_AT_FULL = Circuit(MOST)


def after_session(circuit: Circuit) -> Circuit:
    """Return *circuit* after an attempt that came to a session: one more may run at a time, and the misses are over."""
    return _AT_FULL if circuit.ceiling >= MOST - 1 else Circuit(circuit.ceiling + 1)


def after_miss(circuit: Circuit, missed: Deferred, now: float, rest: float) -> Circuit:
    """Return *circuit* after an attempt that ended at *now* without a session; *rest* is how long the next rest would be, in seconds.

    An attempt that began before a rest and misses within it changes nothing: the rest has begun for its like.
    """
    if circuit.resting(now):
        return circuit
    misses = circuit.misses + 1
    if circuit.rests or misses >= MISSES:
        return Circuit(AFTER_REST, misses, circuit.rests + 1, now + rest, missed)
    return Circuit(max(circuit.ceiling // 2, AFTER_REST), misses, last=missed)


def after_throttle(circuit: Circuit) -> Circuit:
    """Return *circuit* after an attempt whose answer was that it is too much: half as many may run at a time. It is no miss, and ends them.

    How fast they may begin is not decided here (`smtp_gateway.faring`).
    """
    return Circuit(max(circuit.ceiling // 2, AFTER_REST))


class Circuits:
    """The circuits of all destinations."""

    def __init__(self) -> None:
        """Begin knowing nothing."""
        self._remembered: dict[str, Circuit] = {}

    def revive(self, destination: str) -> None:
        """End the rest of *destination*: it is tried as one that nothing is known of."""
        self._remembered.pop(destination, None)

    def forget(self) -> None:
        """Know nothing any more: after a change of the routes, a destination's name may stand for other next hops."""
        self._remembered.clear()

    def of(self, destination: str) -> Circuit:
        """Return the circuit of *destination*."""
        return self._remembered.get(destination, UNKNOWN)

    def ceiling(self, destination: str) -> int:
        """Return how many attempts towards *destination* may run at a time."""
        return self.of(destination).ceiling

    def keep(self, destination: str, circuit: Circuit) -> None:
        """Remember *circuit*. Beyond `REMEMBERED`, the one that was kept least recently is forgotten."""
        self._remembered.pop(destination, None)
        self._remembered[destination] = circuit
        if len(self._remembered) > REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
