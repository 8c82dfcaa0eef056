"""Nudges: at once for a new configuration, then after growing waits, and never for a pod that has it."""

from __future__ import annotations

from datetime import timedelta

from smtp_gateway_operator.fleet.refreshing import LONGEST_WAIT, Nudge, next_nudge
from tests.unit.operator.setting import NOW


def test_a_pod_that_is_current_is_left_alone() -> None:
    """Whatever was before."""
    assert next_nudge("new", "new", None, NOW) is None
    assert next_nudge("new", "new", Nudge("new", 3, NOW), NOW + timedelta(days=1)) is None


def test_a_pod_that_is_behind_is_nudged_at_once() -> None:
    """Also when the nudge for the configuration before was a moment ago."""
    assert next_nudge("new", "old", None, NOW) == Nudge("new", 1, NOW)
    assert next_nudge("newer", "old", Nudge("new", 5, NOW), NOW) == Nudge("newer", 1, NOW)


def test_nudges_are_repeated_after_growing_waits() -> None:
    """2, 4, 8, 16, 32 seconds, and then every minute."""
    last, waits = Nudge("new", 1, NOW), []
    for second in range(300):
        now = NOW + timedelta(seconds=second)
        if nudge := next_nudge("new", "old", last, now):
            waits.append((now - last.at).total_seconds())
            last = nudge

    assert waits == [2, 4, 8, 16, 32, *[LONGEST_WAIT.total_seconds()] * 3]


def test_each_nudge_has_a_value_of_its_own() -> None:
    """The kubelet notices a change, not a repetition."""
    values = {Nudge(config_hash, number, NOW).value for config_hash in ("a" * 64, "b" * 64) for number in (1, 2)}

    assert values == {"aaaaaaaaaaaa.1", "aaaaaaaaaaaa.2", "bbbbbbbbbbbb.1", "bbbbbbbbbbbb.2"}
