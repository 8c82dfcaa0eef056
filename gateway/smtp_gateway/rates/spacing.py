"""A rate kept by the time between two starts: the Generic Cell Rate Algorithm (ITU-T I.371) without a burst.

Who may start is asked before it is known what it costs: a message for fifty recipients starts as soon as one for a single recipient might,
and then all wait until fifty are made up for. Amazon SES counts so ("What happens when you reach your sending limits", AWS Messaging
Blog). In any window of *W* seconds there are therefore at most `rate * (W + SLACK)` units and what the last start had beyond one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

SLACK = 0.1
"""Seconds that a start may be late without the rate becoming lower for it: timers of a busy event loop are late by some milliseconds, and
at a thousand messages a second each of them would cost several. At 14 a second it lets one message more through in a second."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """When the next may start. Times are seconds of any one clock that does not go back."""

    interval: float
    """Seconds that each unit takes."""
    due: float = -math.inf

    def after(self, units: int, now: float) -> Spacing:
        """Return what is left to wait for after a start at *now* that costs *units*."""
        return replace(self, due=max(self.due, now - SLACK) + units * self.interval)
