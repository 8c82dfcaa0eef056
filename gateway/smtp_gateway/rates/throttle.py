"""A destination that asked for less: half as fast at once, and slowly faster again.

Additive increase and multiplicative decrease, as TCP avoids congestion (RFC 5681 section 3.1). Answers of attempts that began before the
last cut tell nothing new: they were on their way when it was made. Those that come within `TRIAL` of it do not either: a next hop that
takes nothing for a moment says so to each message, and one cut for each would leave a message a minute of any rate. Without another
such answer the rate is back at what was too fast after five minutes. Then that is not too fast any more, and the rate doubles every five minutes, or
a destination that took nothing for an hour would be slow for days. At twice what was too fast first the limit ends, or at the
route's own pace where that is lower.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from smtp_gateway.rates.spacing import SLACK

HALF = 0.5
AGAIN = 300.0
"""Seconds after which the rate that was too fast is tried again, and in which it doubles from then on."""
TRIAL = 30.0
"""Seconds that a rate is tried before answers count against it: three cuts in the first minute and a half are an eighth of what was too
fast, and an outage of 20 s costs one."""
SLOWEST = 1 / 60
"""Messages a second below which nothing is slowed down: one has to go now and then, to learn whether more may."""
OVER = 2.0
"""At how many times the rate that was too fast first the limit ends."""
_MOST = 64.0
"""Doublings after which a rate is as good as none."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """How fast a destination may be given messages. Times are seconds of a clock that does not go back, rates messages a second."""

    peak: float
    """What was too fast."""
    target: float
    """At what rate the limit ends."""
    cut_at: float
    due: float = -math.inf
    """When the next message may start."""

    def rate(self, now: float) -> float:
        """Return the rate at *now*."""
        passed = max(now - self.cut_at, 0.0) / AGAIN
        if passed > 1:
            return self.peak * 2 ** min(passed - 1, _MOST)
        return max(self.peak * (HALF + (1 - HALF) * passed), SLOWEST)

    def heeds(self, began: float, now: float) -> bool:
        """Tell whether an answer at *now* to an attempt that *began* then is about this rate, and not about what came before it."""
        return began >= self.cut_at and now >= self.cut_at + TRIAL

    def over(self, now: float) -> bool:
        """Tell whether it limits nothing any more."""
        return self.rate(now) >= self.target

    def after(self, messages: int, now: float) -> Throttle:
        """Return what is left to wait for after a start at *now*."""
        return replace(self, due=max(self.due, now - SLACK) + messages / self.rate(now))


def cut(before: Throttle | None, observed: float, own: float, now: float) -> Throttle:
    """Return the limit after a throttling answer at *now*.

    *observed* is how fast messages went, which counts where there was no limit; *own* is the route's pace, infinity when it has none.
    """
    peak = max(min(observed if before is None else before.rate(now), own), SLOWEST)
    made = Throttle(peak, min(own, peak * OVER) if before is None else before.target, now)
    return replace(made, due=max(-math.inf if before is None else before.due, now + 1 / made.rate(now)))


PERIOD = 10.0
"""Seconds over which messages are counted to know how fast they go."""


@dataclass(slots=True)
class Recent:
    """How many messages went to a destination in this period and the one before."""

    began: float
    count: int = 0
    before: int = 0

    def add(self, now: float) -> None:
        """Count a message at *now*."""
        if now - self.began >= PERIOD:
            self.before = self.count if now - self.began < 2 * PERIOD else 0
            self.began, self.count = now, 0
        self.count += 1

    def rate(self, now: float) -> float:
        """Return messages a second at *now*, the present period counting as a whole second at least."""
        passed = max(now - self.began, 1.0)
        return (self.count + self.before) / (passed + PERIOD) if self.before else self.count / passed
