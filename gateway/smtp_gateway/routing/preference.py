"""In which order the smarthosts of a route are tried: priority and weight, as SRV records have them (RFC 2782).

Lower priorities go first. Among equal ones each attempt draws anew: a server with twice the weight is twice as often the first. Weight 0
says that there is nothing to choose, as in the RFC: such servers come behind the weighted ones of their priority, in the order of the
configuration. (The RFC lets them be drawn now and then, because a record cannot say "only when the others fail"; here it can.) With the
defaults, which are 0 and 0, the order is therefore the configuration's.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from smtp_gateway.config.model import Smarthost


def in_order(smarthosts: tuple[Smarthost, ...], chance: Callable[[], float]) -> tuple[Smarthost, ...]:
    """Return *smarthosts* in the order of one attempt; *chance* gives random numbers in [0, 1), and is asked where there are weights."""
    if len(smarthosts) == 1 or not any(one.priority or one.weight for one in smarthosts):
        return smarthosts
    priority = attrgetter("priority")
    return tuple(one for _, equals in groupby(sorted(smarthosts, key=priority), priority) for one in _drawn(tuple(equals), chance))


def _drawn(equals: Sequence[Smarthost], chance: Callable[[], float]) -> Iterator[Smarthost]:
    """Yield those with a weight as they are drawn, and the others behind them."""
    weighted = [one for one in equals if one.weight]
    while weighted:
        yield weighted.pop(_index([one.weight for one in weighted], chance()))
    yield from (one for one in equals if not one.weight)


def _index(weights: Sequence[int], fraction: float) -> int:
    """Return which of *weights* holds the point at *fraction* of their sum."""
    point = fraction * sum(weights)
    for at, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return at
    return len(weights) - 1
