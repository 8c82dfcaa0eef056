"""Rates and budgets: never more than they say, in any window of time."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.config.pace import Pacing
from smtp_gateway.rates.budget import DAY, NOTHING, QUARTER, Spent, Sums
from smtp_gateway.rates.meter import CLAIM, Limits, Meter, limits_of
from smtp_gateway.rates.sharing import WHOLE, Share
from smtp_gateway.rates.spacing import SLACK, Spacing
from smtp_gateway.rates.throttle import AGAIN, OVER, PERIOD, SLOWEST, Recent, cut


def numbers(least: float, most: float) -> st.SearchStrategy[float]:
    """Return numbers that are ones."""
    return st.floats(least, most, allow_nan=False, allow_infinity=False)


WAITS = numbers(0.0, 3.0)


@given(st.integers(1, 200), st.integers(1, 64))
def test_shares_add_up(total: int, pods: int) -> None:
    """All pods together have what the route has; where there are more of them than units, each has one."""
    shares = [Share(pods, ordinal).whole(total) for ordinal in range(pods)]

    assert sum(shares) == max(total, pods)
    assert max(shares) - min(shares) <= 1
    assert math.isclose(sum(Share(pods, ordinal).rate(total) for ordinal in range(pods)), total)


def test_a_small_rate_does_not_become_none() -> None:
    """One message a minute for three pods is one in three minutes for each."""
    limits = limits_of(Pacing(messages_per_minute=1, messages_per_day=2, connections=1), Share(3, 2))

    assert limits.messages == pytest.approx(180.0)
    assert (limits.day_messages, limits.connections) == (1, 1)


def test_of_two_rates_the_lower_one_counts() -> None:
    """14 a second and 30 a minute are 30 a minute."""
    assert limits_of(Pacing(messages_per_second=14, messages_per_minute=30), WHOLE) == Limits(messages=2.0)
    assert limits_of(Pacing(recipients_per_second=1, recipients_per_minute=600), WHOLE) == Limits(recipients=1.0)


@given(numbers(0.01, 5.0), st.lists(st.tuples(WAITS, st.integers(1, 5)), max_size=60), numbers(0.5, 20.0))
def test_no_window_has_more_than_its_rate(interval: float, arrivals: list[tuple[float, int]], window: float) -> None:
    """Whoever starts as soon as it may: in any window there is what the rate allows, and what the last start had beyond one."""
    spacing, now, starts = Spacing(interval), 0.0, []
    for wait, units in arrivals:
        now = max(now + wait, spacing.due)
        spacing = spacing.after(units, now)
        starts.append((now, units))

    for first, (begin, _) in enumerate(starts):
        within = [units for at, units in starts[first:] if at < begin + window]
        assert sum(within) <= (window + SLACK) / interval + within[-1] + 1e-6


@given(st.integers(1, 50), st.lists(st.tuples(numbers(0.0, DAY / 3), st.integers(1, 5)), max_size=60))
def test_no_day_has_more_than_its_budget(limit: int, arrivals: list[tuple[float, int]]) -> None:
    """In any 24 hours, whenever they begin; what does not fit waits, and starts once it does."""
    meter, now, starts = Meter(Limits(day_recipients=limit)), 0.0, []
    for number, (wait, units) in enumerate(arrivals):
        now += wait
        cost = Sums(1, min(units, limit))
        while (at := meter.affords_at(str(number), cost, now)) > now:
            now = at
        meter.spend(cost, now, now)
        starts.append((now, cost.recipients))

    for first, (begin, _) in enumerate(starts):
        assert sum(units for at, units in starts[first:] if at < begin + DAY) <= limit


def test_what_was_not_sent_is_given_back_where_it_was_taken() -> None:
    """Nothing is left of it, then or a day later."""
    spent = Spent().with_(Sums(1, 3), 0.0, 0.0).with_(Sums(1, 2), QUARTER, QUARTER).with_(-Sums(1, 3), 5.0, 2 * QUARTER)

    assert spent.sum(2 * QUARTER) == Sums(1, 2)
    assert spent.sum(DAY + QUARTER + 1) == Sums(1, 2)
    assert spent.sum(DAY + 2 * QUARTER + 1) == NOTHING
    assert Spent().less_by(7.0) == 7.0


def test_who_needs_much_is_not_overtaken_for_ever() -> None:
    """A message for eight waits for room; those for one leave it that room, and go once it has gone."""
    meter = Meter(Limits(day_recipients=10))
    meter.spend(Sums(3, 3), 0.0, 0.0)

    assert meter.affords_at("large", Sums(1, 8), 1.0) > 1.0
    assert meter.affords_at("small", Sums(1, 1), 1.0) > 1.0, "the room is the large one's"
    assert meter.affords_at("small", Sums(1, 1), 1.0 + CLAIM) == 1.0 + CLAIM, "who asks no more has no claim"
    later = DAY + QUARTER + 1
    assert meter.affords_at("large", Sums(1, 8), later) == later
    assert meter.affords_at("small", Sums(1, 1), later) == later


def test_what_is_more_than_the_whole_budget_goes_alone() -> None:
    """It would never fit, so it goes once nothing else was sent."""
    meter = Meter(Limits(day_recipients=5))

    assert meter.affords_at("huge", Sums(1, 9), 1.0) == 1.0
    meter.spend(Sums(1, 1), 1.0, 1.0)
    assert meter.affords_at("huge", Sums(1, 9), 2.0) > 2.0


def test_new_limits_keep_what_was_sent() -> None:
    """A change of the pace gives nothing back: neither of the day nor of the wait."""
    meter = Meter(Limits(messages=10.0, day_messages=5))
    meter.start(Sums(1, 1), 0.0)
    meter.spend(Sums(1, 1), 0.0, 0.0)
    meter.limit(Limits(messages=1.0, day_messages=1))

    assert meter.opens_at == 10.0 - SLACK
    assert meter.affords_at("next", Sums(1, 1), 10.0) > 10.0


def test_a_full_route_waits_for_a_place_and_no_time() -> None:
    """As long as all its connections are taken."""
    meter = Meter(Limits(connections=2))
    meter.taken = 2

    assert meter.opens_at == math.inf


def test_a_destination_that_asks_for_less_is_given_half() -> None:
    """And what was too fast again after five minutes, if it says nothing more; twice that after ten, which is no limit."""
    throttle = cut(None, 10.0, math.inf, 0.0)

    assert throttle.rate(0.0) == 5.0
    assert throttle.rate(AGAIN / 2) == pytest.approx(7.5)
    assert throttle.rate(AGAIN) == pytest.approx(10.0)
    assert not throttle.over(AGAIN + 1)
    assert throttle.rate(2 * AGAIN) == pytest.approx(OVER * 10.0)
    assert throttle.over(2 * AGAIN)
    assert throttle.over(1e12), "nothing overflows"


def test_a_route_with_a_pace_recovers_to_that() -> None:
    """Its own pace is what is halved when more was not sent, and the end of the limit."""
    throttle = cut(None, 100.0, 4.0, 0.0)

    assert (throttle.rate(0.0), throttle.target) == (2.0, 4.0)
    assert throttle.over(AGAIN)


@given(numbers(0.0, 1e4), st.lists(numbers(0.0, 600.0), max_size=40))
def test_each_further_answer_halves_what_is_given(observed: float, waits: list[float]) -> None:
    """Down to one message a minute, never to nothing; the end of the limit stays what it was at first."""
    now, throttle = 0.0, cut(None, observed, math.inf, 0.0)
    target = throttle.target
    for wait in waits:
        now += wait
        before = throttle.rate(now)
        throttle = cut(throttle, observed, math.inf, now)
        assert SLOWEST <= throttle.rate(now) <= max(before / 2, SLOWEST) * 1.0001
        assert throttle.target == target
        assert throttle.due >= now + 1 / max(before, SLOWEST)


@given(st.lists(WAITS, min_size=2, max_size=60))
def test_a_limit_is_kept_while_it_grows(waits: list[float]) -> None:
    """Between two starts there is the time that the rate of the first of them asks for, but for what a timer may be late."""
    throttle, now, starts = cut(None, 4.0, math.inf, 0.0), 0.0, []
    for wait in waits:
        now = max(now + wait, throttle.due)
        starts.append((now, throttle.rate(now)))
        throttle = throttle.after(1, now)

    for (before, rate), (after, _) in pairwise(starts):
        assert after - before >= 1 / rate - SLACK - 1e-6


def test_how_fast_messages_go_is_counted_over_two_periods() -> None:
    """A steady message a second is one a second, a burst counts as what it is, and an hour of silence is forgotten."""
    recent = Recent(0.0)
    for second in range(15):
        recent.add(float(second))
    assert recent.rate(15.0) == pytest.approx(1.0)

    burst = Recent(0.0)
    for _ in range(20):
        burst.add(0.0)
    assert burst.rate(0.1) == 20.0
    burst.add(3600.0)
    assert burst.rate(3600.0 + PERIOD) == pytest.approx(0.1)
