"""What of a route's pace is one pod's: nobody asks the others, each divides by how many deliver.

Pods that drain deliver too, so they are counted. A rate is divided exactly: a half of one message a minute is one in two minutes. What is
whole (connections, a day's budget) is dealt out to the lowest ordinals first, and nobody gets none: where there are more pods than
units, together they have one each.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """One pod among those that deliver."""

    pods: int = 1
    ordinal: int = 0
    """The number at the end of the pod's name. One that is beyond *pods* is about to be told of more of them."""

    def whole(self, total: int) -> int:
        """Return the pod's part of *total* things that cannot be divided: one at least."""
        quotient, rest = divmod(total, self.pods)
        return max(quotient + (self.ordinal < rest), 1)

    def rate(self, total: float) -> float:
        """Return the pod's part of a rate."""
        return total / self.pods


WHOLE = Share()
"""A gateway that is no member of a fleet."""
