"""Who acts on what an attempt came to: the circuit, or the pace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import Config, Listener, Route, Smarthost
from smtp_gateway.config.pace import Pacing
from smtp_gateway.faring import Chance, Faring
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.mail.outcome import Deferred, Delivered, Outcome, unreachable
from smtp_gateway.mail.reply import Reply
from smtp_gateway.rates.sharing import WHOLE
from smtp_gateway.rates.throttle import TRIAL
from smtp_gateway.routing.circuit import AFTER_REST, AT_FIRST, MISSES
from smtp_gateway.routing.table import Table
from smtp_gateway.spool.api import Entry, Recipient
from smtp_gateway.telemetry.observer import NullObserver

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

ROUTE = Route(name="r", smarthosts=(Smarthost(host="smtp.example"),), pacing=Pacing(messages_per_day=9))
CONFIG = Config(hostname="g.example", listeners=(Listener(name="submission", port=587),), routes=(ROUTE,))
(BATCH,) = Table(CONFIG.routes).batches(["u@x.example"], Entry(MessageId("n"), "me@here.example", (), 0.0, 10))
WHERE = BATCH.destination
REFUSED = unreachable("4.4.1", "Connection refused")
SENT = Delivered(Reply(250))
TURNED_AWAY = Deferred(Reply(421, "4.7.0", "Too many connections"), "smtp[192.0.2.1]:25", unreached=True)
"""In place of a greeting."""


@dataclass
class Counting(NullObserver):
    """How often next hops asked for less."""

    routes: list[str] = field(default_factory=list)

    def throttled(self, route: str) -> None:
        """Count."""
        self.routes.append(route)


class Destination:
    """One destination, and time."""

    def __init__(self) -> None:
        """Begin knowing nothing of it."""
        self.now = 100.0
        self.observer = Counting()
        self.faring = Faring(CONFIG, WHOLE, self.observer, Chance(lambda: self.now, lambda: self.now, lambda: 0.0))

    def comes_to(self, outcome: Outcome, began: float | None = None) -> None:
        """Let an attempt come to *outcome*."""
        self.faring.note(MessageId("m"), BATCH, {"u@x.example": outcome}, self.now if began is None else began)

    @property
    def ceiling(self) -> int:
        """How many attempts may run."""
        return self.faring.circuits.ceiling(WHERE)

    @property
    def rate(self) -> float:
        """How fast messages may go."""
        return self.faring.pacing.standing((), self.now)["r"].rate


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[MutableMapping[str, object]]]:
    """Return what is logged."""
    with capture_logs() as logged:
        yield logged


def test_who_is_turned_away_for_being_too_much_is_slowed_down_and_not_at_rest(lines: list[MutableMapping[str, object]]) -> None:
    """However often: half as many at a time, and half as fast, and no rest that would end in a burst."""
    tested = Destination()
    for _ in range(2 * MISSES):
        tested.comes_to(TURNED_AWAY)
        tested.now += TRIAL

    assert tested.faring.circuits.of(WHERE).misses == 0
    assert tested.faring.resting(MessageId("m"), BATCH) is None
    assert tested.ceiling == AFTER_REST
    assert tested.rate < 0.02
    assert tested.observer.routes == ["r"] * 2 * MISSES
    assert {line["event"] for line in lines} == {"destination throttled"}


def test_answers_that_were_on_their_way_halve_nothing_again() -> None:
    """Twenty attempts that began together and were answered alike are one lesson; they are counted all the same."""
    tested = Destination()
    for _ in range(6):
        tested.comes_to(SENT)
    tested.now = 105.0
    for _ in range(20):
        tested.comes_to(TURNED_AWAY, began=104.0)
    once = tested.rate
    assert tested.ceiling == (AT_FIRST + 6) // 2
    tested.now = 105.0 + TRIAL
    tested.comes_to(TURNED_AWAY)

    assert once == pytest.approx(0.7, abs=0.1)
    assert len(tested.observer.routes) == 21
    assert tested.rate < 0.4


def test_a_moment_in_which_nothing_is_taken_costs_one_cut() -> None:
    """A next hop that says to each message of 20 s that it is too much is slowed down once: else it would have a message a minute after it."""
    tested = Destination()
    for _ in range(6):
        tested.comes_to(SENT)
    tested.comes_to(TURNED_AWAY)
    once = tested.rate
    for _ in range(20):
        tested.now += 1
        tested.comes_to(TURNED_AWAY)

    assert tested.rate >= once


def test_other_misses_are_the_circuits_and_slow_nothing_down(lines: list[MutableMapping[str, object]]) -> None:
    """Nobody there: a rest after some, and its end is told."""
    tested = Destination()
    for _ in range(MISSES):
        tested.comes_to(REFUSED)
    assert tested.faring.resting(MessageId("m"), BATCH) == REFUSED
    tested.now += 3600.0
    tested.comes_to(SENT)

    assert tested.faring.pacing.standing((), tested.now)["r"].throttled == 0
    assert [line["event"] for line in lines] == ["destination rests", "destination answers"]


def test_what_a_rest_defers_is_not_of_the_days_budget() -> None:
    """It did not leave."""
    tested = Destination()
    for _ in range(MISSES):
        tested.comes_to(REFUSED)
    entry = Entry(MessageId("n"), "me@here.example", (Recipient("u@x.example"),), 0.0, 10)
    tested.faring.pacing.start(entry, frozenset({WHERE}), tested.now)
    assert tested.faring.pacing.spent()["r"].sum(tested.now).messages == 1

    assert tested.faring.resting(entry.id, BATCH) == REFUSED

    assert tested.faring.pacing.spent()["r"].sum(tested.now).messages == 0


def test_old_next_hops_say_nothing_of_new_ones() -> None:
    """An attempt that was under way when its route was led elsewhere neither lets the new next hops rest nor slows them down."""
    where = Destination()
    other = ROUTE.model_copy(update={"smarthosts": (Smarthost(host="other.example"),)})
    where.faring.reconfigure(CONFIG.model_copy(update={"routes": (other,)}), WHOLE)
    for outcome in (*[REFUSED] * MISSES, TURNED_AWAY):
        where.comes_to(outcome)

    assert where.faring.resting(MessageId("m"), BATCH) is None
    assert where.ceiling == AT_FIRST
    assert where.observer.routes == []
