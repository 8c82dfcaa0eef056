"""One pod's part of a route's pace, and how far it is used up."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from smtp_gateway.rates.budget import Spent, Sums
from smtp_gateway.rates.spacing import Spacing

if TYPE_CHECKING:
    from smtp_gateway.config.pace import Pacing
    from smtp_gateway.rates.sharing import Share

MINUTE = 60
CLAIM = 120.0
"""Seconds for which room is kept for a message that the budget had too little left for; it asks again more often than that."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one pod keeps to."""

    messages: float = 0.0
    """Seconds that each message takes; 0 when they are not counted."""
    recipients: float = 0.0
    """The same of recipients."""
    day_messages: float = math.inf
    day_recipients: float = math.inf
    connections: float = math.inf

    @property
    def daily(self) -> bool:
        """Whether there is a budget of a day."""
        return min(self.day_messages, self.day_recipients) < math.inf

    @property
    def rate(self) -> float:
        """Return messages a second, of one recipient each; infinity when they are not counted."""
        longest = max(self.messages, self.recipients)
        return 1 / longest if longest else math.inf


def limits_of(pacing: Pacing, share: Share) -> Limits:
    """Return what of *pacing* a pod with *share* keeps to. Of rates by the second and by the minute, the lower one counts."""

    def interval(second: int | None, minute: int | None) -> float:
        rates = [share.rate(second)] if second else []
        rates += [share.rate(minute / MINUTE)] if minute else []
        return 1 / min(rates) if rates else 0.0

    def whole(total: int | None) -> float:
        return math.inf if total is None else share.whole(total)

    return Limits(
        messages=interval(pacing.messages_per_second, pacing.messages_per_minute),
        recipients=interval(pacing.recipients_per_second, pacing.recipients_per_minute),
        day_messages=whole(pacing.messages_per_day),
        day_recipients=whole(pacing.recipients_per_day),
        connections=whole(pacing.connections),
    )


@dataclass(slots=True)
class Meter:
    """The state of one route's pace. Times are seconds of a clock that does not go back."""

    limits: Limits
    spent: Spent = field(default_factory=Spent)
    taken: int = 0
    """Places: transactions under way."""
    _messages: Spacing = field(init=False)
    _recipients: Spacing = field(init=False)
    _claim: tuple[str, Sums, float] | None = None
    """Which message the budget had too little left for, how much that is, and when it asked."""

    def __post_init__(self) -> None:
        """Begin with nothing to make up for."""
        self._messages, self._recipients = Spacing(self.limits.messages), Spacing(self.limits.recipients)

    def limit(self, limits: Limits) -> None:
        """Keep to *limits* from now on; what was sent counts on, and what had to be waited for is waited for."""
        self.limits = limits
        self._messages = Spacing(limits.messages, self._messages.due)
        self._recipients = Spacing(limits.recipients, self._recipients.due)

    @property
    def opens_at(self) -> float:
        """When the next message may start; infinity when it waits for a place and not for a time."""
        return math.inf if self.taken >= self.limits.connections else max(self._messages.due, self._recipients.due)

    def start(self, sums: Sums, now: float) -> None:
        """Count a start of *sums* for the rates."""
        if self.limits.messages:
            self._messages = self._messages.after(sums.messages, now)
        if self.limits.recipients:
            self._recipients = self._recipients.after(sums.recipients, now)

    def spend(self, sums: Sums, at: float, now: float) -> None:
        """Count *sums* for the day; negative ones were spent *at* a time and came to nothing."""
        if self.limits.daily:
            self.spent = self.spent.with_(sums, at, now)

    def affords_at(self, name: str, sums: Sums, now: float) -> float:
        """Return when the day's budget may have enough left for the message called *name*: *now* when it has.

        More than the whole budget is let through once nothing is spent: it will never be less. Who has to wait has its part kept, or
        those that need less would always come before.
        """
        if not self.limits.daily:
            return now
        spent = self.spent.sum(now)
        wanted = spent + sums
        if self._claim is not None and self._claim[0] != name and now - self._claim[2] < CLAIM:
            wanted += self._claim[1]
        if self._within(wanted) or (spent.messages <= 0 and spent.recipients <= 0):
            if self._claim is not None and self._claim[0] == name:
                self._claim = None
            return now
        if self._claim is None or self._claim[0] == name or now - self._claim[2] >= CLAIM:
            self._claim = (name, sums, now)
        return max(self.spent.less_by(now), now + 1.0)

    def _within(self, sums: Sums) -> bool:
        return sums.messages <= self.limits.day_messages and sums.recipients <= self.limits.day_recipients
