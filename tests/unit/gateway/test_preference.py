"""In which order smarthosts are tried: by priority, by chance among weights, and else as they stand there."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.config.model import Smarthost
from smtp_gateway.routing.preference import in_order

NUMBERS = st.sampled_from((0, 1, 2, 65535))
SMARTHOSTS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6).map(
    lambda pairs: tuple(Smarthost(host=f"h{at}.example", priority=priority, weight=weight) for at, (priority, weight) in enumerate(pairs))
)
CHANCES = st.lists(st.floats(0, 1, exclude_max=True), min_size=6, max_size=6)


def weighted(*weights: int) -> tuple[Smarthost, ...]:
    """Return smarthosts of one priority with *weights*."""
    return tuple(Smarthost(host=f"h{at}.example", weight=weight) for at, weight in enumerate(weights))


def unasked() -> float:
    """Fail: there is nothing to choose."""
    raise AssertionError


@given(SMARTHOSTS, CHANCES)
def test_every_smarthost_is_tried_once(smarthosts: tuple[Smarthost, ...], chances: list[float]) -> None:
    """By priority; within one, weighted before unweighted, and these as they stand there."""
    ordered = in_order(smarthosts, iter(chances).__next__)

    assert sorted(ordered, key=smarthosts.index) == list(smarthosts)
    assert [(one.priority, not one.weight) for one in ordered] == sorted((one.priority, not one.weight) for one in smarthosts)
    unweighted = [one for one in ordered if not one.weight]
    assert unweighted == sorted(unweighted, key=lambda one: (one.priority, smarthosts.index(one)))


@given(st.integers(0, 16))
def test_without_numbers_the_order_is_the_configurations(size: int) -> None:
    """The very same, and nothing is drawn."""
    smarthosts = weighted(*[0] * size)

    assert in_order(smarthosts, unasked) is smarthosts


def test_each_begins_as_often_as_its_weight_says() -> None:
    """Over a thousand evenly spread points, to the point."""
    firsts = Counter(in_order(weighted(70, 20, 10), iter((at / 1000, 0.0, 0.0)).__next__)[0].host for at in range(1000))

    assert firsts == {"h0.example": 700, "h1.example": 200, "h2.example": 100}


def test_the_rest_is_drawn_by_weight_too() -> None:
    """When the first fails, the second is chosen among the others as if it had not been there."""
    draw = random.Random(1).random  # noqa: S311 an even spread is all that is needed
    seconds = Counter(in_order(weighted(1000, 2, 1), draw)[1].host for _ in range(3000))

    assert 1.5 < seconds["h1.example"] / seconds["h2.example"] < 2.5
