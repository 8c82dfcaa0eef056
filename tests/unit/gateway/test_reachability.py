"""What is remembered of next hops, in a time of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.config.model import Smarthost
from smtp_gateway.delivery import reachability
from smtp_gateway.delivery.reachability import AVOIDED, Reachability
from tests.support.dispatching import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

A, B, C = (Smarthost(host=f"{name}.example") for name in "abc")


def test_what_could_not_be_reached_is_tried_last() -> None:
    """Until it is reached again; those that fail alike keep their order."""
    known = Reachability(Clock())
    hops = (A, B, C)
    assert known.in_order(hops) is hops
    known.missed(A)
    assert known.in_order(hops) == (B, C, A)
    known.missed(B)
    assert known.in_order(hops) == (C, A, B)
    known.missed(C)
    assert known.in_order(hops) == hops
    known.reached(B)
    assert known.in_order(hops) == (B, A, C)
    known.forget()
    assert known.in_order(hops) is hops


def test_one_attempt_finds_out_once_the_time_is_over() -> None:
    """The others do not wait for the same time-out meanwhile; when it failed they need not at all."""
    clock = Clock()
    known = Reachability(clock)
    known.missed(A)
    clock.now += AVOIDED - 1
    assert known.in_order((A, B)) == (B, A)
    clock.now += 1
    assert [tuple(known.in_order((A, B))) for _ in range(3)] == [(A, B), (B, A), (B, A)]
    known.missed(A)
    assert known.in_order((A, B)) == (B, A)


def test_the_only_next_hop_needs_no_order() -> None:
    """It does not use up the attempt that finds out for lists that it is in."""
    clock = Clock()
    known = Reachability(clock)
    known.missed(A)
    clock.now += AVOIDED
    assert known.in_order((A,)) == (A,)
    assert known.in_order((A, B)) == (A, B)


@given(st.lists(st.tuples(st.sampled_from(("missed", "reached", "later")), st.sampled_from((A, B, C)))), st.permutations((A, B, C)))
def test_nothing_is_ever_left_out(events: list[tuple[str, Smarthost]], hops: Sequence[Smarthost]) -> None:
    """Whatever was found, each is tried once."""
    clock = Clock()
    known = Reachability(clock)
    for event, hop in events:
        if event == "later":
            clock.now += AVOIDED / 2
        else:
            getattr(known, event)(hop)
        assert sorted(known.in_order(hops), key=hops.index) == list(hops)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was missed longest ago is forgotten first."""
    monkeypatch.setattr(reachability, "REMEMBERED", 2)
    known = Reachability(Clock())
    for hop in (A, B, A, C):
        known.missed(hop)
    assert known.in_order((A, B, C)) == (B, A, C)
