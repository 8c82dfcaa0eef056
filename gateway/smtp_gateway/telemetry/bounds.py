"""Bounds on the series of a metric: how many pairs of names get their own, and which are dropped again. Pure.

A gateway may have thousands of logins, and each would make a series for each route. Prometheus pays for every one, for as long as it keeps
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PAIRS = 300
"""Pairs that have series of their own: 30 logins on 10 routes, say. Six counters have them, so they are 1,800 series at most; a page of so
many takes 12 ms of the event loop (decision 0043)."""
OTHER = "other"
"""The identity of all others."""
NOTICES = "gateway/notices"
"""The identity of what the gateway writes itself: no name of a Secret has a slash."""
IDLE = 3600.0
"""Seconds without an event after which the series of what left the configuration are dropped: the longest range that an alert asks
for, so that the last events are seen."""

Labels = tuple[str, ...]
"""The values of a series' labels, in their order."""


class Pairs:
    """Which pairs of a listener or route and an identity have series of their own: who comes first."""

    def __init__(self, limit: int = PAIRS) -> None:
        """Give *limit* pairs their own."""
        self._limit = limit
        self._own: set[Labels] = set()

    def labels(self, place: str, identity: str) -> Labels:
        """Return under what to count *identity* at a listener or route called *place*."""
        pair = (place, identity)
        if pair in self._own:
            return pair
        if len(self._own) >= self._limit:
            return place, OTHER
        self._own.add(pair)
        return pair

    def forget(self, pairs: Iterable[Labels]) -> None:
        """Make room for others in the place of *pairs*."""
        self._own.difference_update(pairs)


class Leaving:
    """Series of what is in the configuration no longer: each stays until it has not moved for `IDLE`."""

    def __init__(self) -> None:
        """Begin with none."""
        self._since: dict[Labels, tuple[float, float]] = {}
        """What each stood at, and since when as far as was seen."""

    def idle(self, standing: Mapping[Labels, float], now: float) -> list[Labels]:
        """Return which of those that stand there at *now*, in seconds of any clock, have idled for long enough; all others are forgotten."""
        before, self._since = self._since, {}
        over = []
        for labels, total in standing.items():
            known, since = before.get(labels, (total, now))
            since = since if known == total else now
            if now - since >= IDLE:
                over.append(labels)
            else:
                self._since[labels] = (total, since)
        return over
