"""What became of recent attempts, route by route: a ring of minutes, so that what is old goes by itself and memory stays what it is.

`Ring` is pure; `RecentOutcomes` is an observer that fills one per route and passes everything on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.telemetry.observer import Forwarding

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.telemetry.observer import Observer

MINUTE = 60.0
MINUTES = 15
"""How far back is counted: the current minute and those before it. Long enough for three attempts by the default curve of retries."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Recipients of attempts."""

    attempted: int = 0
    """Those with an outcome, whatever it was."""
    deferred: int = 0
    """Those of them that will be tried again."""

    def __add__(self, other: Outcomes) -> Outcomes:
        """Return the sum."""
        return Outcomes(self.attempted + other.attempted, self.deferred + other.deferred)


NONE = Outcomes()


class Ring:
    """Outcomes by minute, the last `MINUTES` of them. Times are seconds of one clock; when it goes back, what it had said of later is forgotten."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._minutes: list[tuple[int, Outcomes]] = [(-1, NONE)] * MINUTES
        """At the place of each minute's number, modulo their count: the number, and what became of it."""

    def add(self, outcomes: Outcomes, now: float) -> None:
        """Count *outcomes* at *now*."""
        minute = int(now // MINUTE)
        place = minute % MINUTES
        found, before = self._minutes[place]
        self._minutes[place] = (minute, outcomes + before if found == minute else outcomes)

    def sum(self, now: float) -> Outcomes:
        """Return what was counted in the minute of *now* and those before it."""
        minute = int(now // MINUTE)
        return sum((outcomes for found, outcomes in self._minutes if minute - MINUTES < found <= minute), NONE)


class RecentOutcomes(Forwarding):
    """An observer that remembers the outcomes of recent attempts."""

    def __init__(self, observer: Observer, clock: Callable[[], float]) -> None:
        """Pass everything on to *observer*; *clock* tells seconds."""
        super().__init__(observer)
        self._clock = clock
        self._routes: dict[str, Ring] = {}

    def of(self, route: str) -> Outcomes:
        """Return what became of the attempts over *route* in the last `MINUTES` minutes."""
        ring = self._routes.get(route)
        return NONE if ring is None else ring.sum(self._clock())

    def keep(self, routes: frozenset[str]) -> None:
        """Forget all routes but *routes*."""
        self._routes = {route: ring for route, ring in self._routes.items() if route in routes}

    def delivered(self, route: str, identity: str, recipients: int, age: float) -> None:
        """Remember."""
        self._add(route, Outcomes(recipients))
        super().delivered(route, identity, recipients, age)

    def deferred(self, route: str, identity: str, recipients: int) -> None:
        """Remember."""
        self._add(route, Outcomes(recipients, recipients))
        super().deferred(route, identity, recipients)

    def bounced(self, route: str, identity: str, recipients: int) -> None:
        """Remember."""
        self._add(route, Outcomes(recipients))
        super().bounced(route, identity, recipients)

    def _add(self, route: str, outcomes: Outcomes) -> None:
        self._routes.setdefault(route, Ring()).add(outcomes, self._clock())
