"""How large a fleet may be: scaling in waits until the pods that go have nothing left.

The pods that go are those with the highest ordinals. They are told by the configuration that they serve no longer (`Config.serving`), take
no new mail, and deliver what they have, for as long as it takes; the StatefulSet shrinks from the top, as far as they are empty. Empty is
what a pod says of itself, now, under the very configuration that drains it: one that does not answer may hold mail. Held messages count,
because nobody else would ever deliver them. Somebody can let a pod go all the same, and what is on its volume with it.

To zero it goes at once: nobody could take over then, and the volumes stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from smtp_gateway_operator.spec import PodReport


@dataclass(frozen=True, slots=True)
class Step:
    """What the StatefulSet should be now."""

    size: int
    """Its replicas."""
    partition: int
    """The lowest ordinal that may be renewed."""
    draining: int = 0
    """How many of its pods, the highest ordinals, are to go when they are empty."""


def at_rest(replicas: int) -> Step:
    """Return what the StatefulSet is when all is as wanted: nobody goes, and nobody is to be renewed."""
    return Step(replicas, replicas)


def serving_of(wanted: int, size: int, present: Collection[int]) -> int | None:
    """Return `Config.serving` of a fleet that should be *wanted* pods, is *size*, and has pods of the ordinals *present*.

    Until the last pod that goes is gone, and not only until the fleet is smaller: its last words must not be that it serves again.
    """
    beyond = size > wanted or any(ordinal >= wanted for ordinal in present)
    return wanted if wanted and beyond else None


def delivering_of(wanted: int, size: int, present: Collection[int]) -> int:
    """Return `Config.pods` of such a fleet: how many divide the pace of its routes.

    Pods that drain are counted until they are gone, and those that are to come before they are there: for a moment mail may leave more
    slowly than it could, and not faster than it should.
    """
    return max(wanted, size, *(ordinal + 1 for ordinal in present), 1)


def is_empty(report: PodReport, config_hash: str) -> bool:
    """Tell whether a pod that says *report*, just now, drains by the configuration of *config_hash* and has nothing left."""
    silent = report.draining and not (report.accepting or report.sessions)
    return silent and report.queue.messages == 0 and report.config_hash == config_hash


def size_of(wanted: int, size: int, empty: Collection[int]) -> int:
    """Return how large the StatefulSet may be now, given which ordinals of those that go are known to be *empty*."""
    if wanted == 0:
        return 0
    while size > wanted and size - 1 in empty:
        size -= 1
    return max(size, wanted)
