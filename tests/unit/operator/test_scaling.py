"""How large a fleet may be: only pods that are empty, by their own fresh word, are let go."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway_operator.spec import PodReport
from smtp_gateway_operator.steps.scaling import delivering_of, is_empty, serving_of, size_of

CONFIG = "c0ffee"


def drained(**changed: Any) -> PodReport:
    """Return what a pod says that drains and has nothing left, but for what *changed* says."""
    said = {
        "pod": "mail-1",
        "version": "1",
        "config_hash": CONFIG,
        "accepting": False,
        "draining": True,
        "sessions": 0,
        "queue": {"messages": 0, "held": 0, "oldest": None, "lateness": 0},
        "certificate": {"not_after": None},
    }
    return PodReport.model_validate(said | changed)


def test_a_pod_is_empty_when_it_takes_no_mail_and_has_none() -> None:
    """The one case in which it may go."""
    assert is_empty(drained(), CONFIG)


@pytest.mark.parametrize(
    "changed",
    [
        {"draining": False},
        {"accepting": True},
        {"sessions": 1},  # its client may still send, or shake hands
        {"config_hash": "the configuration before"},  # which may let it serve again
        {"queue": {"messages": 1, "held": 0, "oldest": 1.0, "lateness": 0}},
        {"queue": {"messages": 1, "held": 1, "oldest": None, "lateness": 0}},  # nobody else would ever deliver it
    ],
)
def test_a_pod_that_may_hold_mail_is_not_empty(changed: dict[str, Any]) -> None:
    """Each of these alone keeps it."""
    assert not is_empty(drained(**changed), CONFIG)


@pytest.mark.parametrize(
    ("wanted", "size", "present", "serving"),
    [
        (2, 2, {0, 1}, None),
        (3, 2, {0, 1}, None),
        (1, 3, {0, 1, 2}, 1),
        (1, 3, {0}, 1),  # pods that are away may come back
        (1, 1, {0, 1}, 1),  # the last one is still going
        (1, 1, {0}, None),
        (0, 2, {0, 1}, None),  # to zero nobody waits
        (0, 0, {0}, None),
    ],
)
def test_who_serves(wanted: int, size: int, present: set[int], serving: int | None) -> None:
    """The configuration says so from the wish to scale in until the last pod is gone."""
    assert serving_of(wanted, size, present) == serving


@pytest.mark.parametrize(
    ("wanted", "size", "present", "pods"),
    [
        (2, 2, {0, 1}, 2),
        (5, 2, {0, 1}, 5),  # those that are to come have their part before they are there
        (1, 3, {0, 1, 2}, 3),  # those that drain deliver
        (1, 2, {0, 1, 2}, 3),  # the last one is still going
        (1, 1, {0}, 1),
        (0, 0, (), 1),
    ],
)
def test_who_divides_the_pace_of_the_routes(wanted: int, size: int, present: set[int], pods: int) -> None:
    """Everybody who may deliver, and nobody longer than that."""
    assert delivering_of(wanted, size, present) == pods


@pytest.mark.parametrize(
    ("wanted", "size", "empty", "following"),
    [
        (2, 2, (), 2),
        (3, 2, (), 3),
        (1, 3, (), 3),
        (1, 3, (2,), 2),
        (1, 3, (1,), 3),  # from the top only
        (1, 3, (1, 2), 1),
        (2, 3, (0, 1, 2), 2),
        (3, 3, (2,), 3),
        (0, 3, (), 0),
        (0, 0, (), 0),
    ],
)
def test_the_fleet_shrinks_from_the_top_as_far_as_it_is_empty(wanted: int, size: int, empty: tuple[int, ...], following: int) -> None:
    """Growing and zero wait for nobody."""
    assert size_of(wanted, size, empty) == following
