"""What was sent in the last 24 hours, kept by the quarter of an hour.

Providers count over a rolling day (Amazon SES, "Managing your sending limits"; Google Workspace, "Gmail sending limits"), so there is no
midnight at which all comes back at once. A quarter counts until a day after its end: never too little is counted, and at most a
quarter of an hour too long.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY = 86400.0
"""Seconds."""
QUARTER = 900.0
"""Seconds of which the sum is kept: 97 sums for a day."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What was sent in a time, or is about to be."""

    messages: int = 0
    recipients: int = 0

    def __add__(self, other: Sums) -> Sums:
        """Return both together."""
        return Sums(self.messages + other.messages, self.recipients + other.recipients)

    def __neg__(self) -> Sums:
        """Return what gives this back."""
        return Sums(-self.messages, -self.recipients)


NOTHING = Sums()


@dataclass(frozen=True, slots=True)
class Spent:
    """What counts of a budget. Times are seconds of a clock that does not go back: setting the system's clock gives nothing back."""

    quarters: tuple[tuple[float, Sums], ...] = ()
    """When each began, and its sum; the earliest first."""

    def sum(self, now: float) -> Sums:
        """Return what counts at *now*."""
        return sum((sums for began, sums in self.quarters if began > now - DAY - QUARTER), NOTHING)

    def with_(self, sums: Sums, at: float, now: float) -> Spent:
        """Return what counts at *now* once *sums*, which may be negative, were sent *at* a time that is counted still."""
        kept = tuple(quarter for quarter in self.quarters if quarter[0] > now - DAY - QUARTER)
        for number in range(len(kept) - 1, -1, -1):
            began, before = kept[number]
            if began <= at < began + QUARTER:
                return Spent((*kept[:number], (began, before + sums), *kept[number + 1 :]))
        return Spent(tuple(sorted((*kept, (at, sums)), key=lambda quarter: quarter[0])))

    def less_by(self, now: float) -> float:
        """Return when the next quarter counts no longer; *now* when nothing is counted."""
        return next((began + DAY + QUARTER for began, _ in self.quarters if began > now - DAY - QUARTER), now)
