"""When to nudge a pod: by an annotation the kubelet looks at the pod at once, and refreshes its mounted configuration.

Without it a changed Secret reaches a pod with the kubelet's next round, one to two minutes later. One nudge may come before the kubelet
has heard of the changed Secret, so it is repeated, after growing waits, until the pod reports the configuration. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from smtp_gateway_operator.names import short_hash

FIRST_WAIT = timedelta(seconds=2)
"""Before the second nudge: a kubelet takes about a second, and the gateway looks at its files every second."""
LONGEST_WAIT = timedelta(seconds=60)
"""About the kubelet's own period: from then on nudges are no faster than waiting."""


@dataclass(frozen=True, slots=True)
class Nudge:
    """The last nudge of one pod."""

    config_hash: str
    """The configuration that it was for."""
    number: int
    """How many there were for it, this one included."""
    at: datetime

    @property
    def value(self) -> str:
        """The annotation's value: another one with each nudge."""
        return f"{short_hash(self.config_hash)}.{self.number}"


def next_nudge(expected: str, reported: str, last: Nudge | None, now: datetime) -> Nudge | None:
    """Return the nudge that a pod which *reported* another configuration than *expected* should get now; None when none is due."""
    if reported == expected:
        return None
    if last is None or last.config_hash != expected:
        return Nudge(expected, 1, now)
    if now - last.at < min(FIRST_WAIT * 2 ** min(last.number - 1, 10), LONGEST_WAIT):
        return None
    return Nudge(expected, last.number + 1, now)
