"""What became of recent attempts, by a clock of the test's own."""

from __future__ import annotations

import pytest

from smtp_gateway.mail.envelope import Peer
from smtp_gateway.mail.reply import Reply
from smtp_gateway.telemetry.prometheus import PrometheusObserver
from smtp_gateway.telemetry.recent import MINUTE, MINUTES, NONE, Outcomes, RecentOutcomes, Ring
from tests.unit.gateway.test_metrics import everything

NOW = 1_000_000 * MINUTE


def test_outcomes_count_for_a_quarter_of_an_hour() -> None:
    """The current minute and the fourteen before it; then they are gone."""
    ring = Ring()
    ring.add(Outcomes(3, 1), NOW)
    ring.add(Outcomes(2, 2), NOW + 59)
    ring.add(Outcomes(1), NOW + MINUTE)

    assert ring.sum(NOW + MINUTE) == Outcomes(6, 3)
    assert ring.sum(NOW + (MINUTES - 1) * MINUTE + 59) == Outcomes(6, 3)
    assert ring.sum(NOW + MINUTES * MINUTE) == Outcomes(1)
    assert ring.sum(NOW + (MINUTES + 1) * MINUTE) == NONE


def test_a_place_is_used_again() -> None:
    """What was counted a whole turn ago is not among what is counted now."""
    ring = Ring()
    ring.add(Outcomes(5, 5), NOW)
    ring.add(Outcomes(1), NOW + MINUTES * MINUTE)

    assert ring.sum(NOW + MINUTES * MINUTE) == Outcomes(1)


@pytest.mark.parametrize("back", [1.0, 3600.0])
def test_a_clock_that_goes_back_counts_what_it_knows(back: float) -> None:
    """Nothing of the future, and nothing twice."""
    ring = Ring()
    ring.add(Outcomes(5), NOW)
    ring.add(Outcomes(1), NOW - back)

    assert ring.sum(NOW - back).attempted == 1


def test_routes_are_counted_apart_and_forgotten_when_they_are_gone() -> None:
    """Delivered, deferred and bounced recipients were attempted; deferred ones are counted on their own."""
    observer = RecentOutcomes(PrometheusObserver(), lambda: NOW)
    observer.delivered("a", "app", 3, 1.0)
    observer.deferred("a", "app", 2)
    observer.bounced("a", "app", 1)
    observer.deferred("b", "app", 4)
    assert (observer.of("a"), observer.of("b"), observer.of("c")) == (Outcomes(6, 2), Outcomes(4, 4), NONE)

    observer.keep(frozenset({"b", "c"}))
    assert (observer.of("a"), observer.of("b")) == (NONE, Outcomes(4, 4))


def test_everything_is_passed_on() -> None:
    """The metrics are those of an observer without a decorator."""
    plain, decorated = PrometheusObserver(), PrometheusObserver()
    recent = RecentOutcomes(decorated, lambda: NOW)
    for observer in (plain, recent):
        everything(observer)
        observer.disconnected("submission")
        observer.refused("submission", "RCPT", Reply(452, "4.5.3", "Too many"))
        observer.accepted(Peer("192.0.2.1", "relay"), 1, 10, 0.1)

    def counts(observer: PrometheusObserver) -> list[str]:
        return [line for line in observer.page().decode().splitlines() if "start_time" not in line]

    assert counts(plain) == counts(decorated)
