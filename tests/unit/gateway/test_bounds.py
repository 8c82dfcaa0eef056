"""Bounds on the series of a metric."""

from __future__ import annotations

from smtp_gateway.telemetry.bounds import IDLE, OTHER, Leaving, Pairs


def test_who_comes_first_has_series_of_their_own() -> None:
    """Others are counted together, at each place apart, until there is room."""
    pairs = Pairs(2)
    assert pairs.labels("a", "one") == ("a", "one")
    assert pairs.labels("b", "one") == ("b", "one")
    assert pairs.labels("a", "two") == ("a", OTHER)
    assert pairs.labels("a", "one") == ("a", "one")

    pairs.forget([("b", "one")])
    assert pairs.labels("a", "two") == ("a", "two")


def test_what_moves_stays() -> None:
    """A series goes when it has stood where it is for the time, and not before."""
    leaving, one, other = Leaving(), ("a",), ("b",)
    assert leaving.idle({one: 3, other: 1}, 0) == []
    assert leaving.idle({one: 3, other: 2}, IDLE - 1) == []
    assert leaving.idle({one: 3, other: 2}, IDLE) == [one]
    assert leaving.idle({other: 2}, 2 * IDLE - 2) == []
    assert leaving.idle({other: 2}, 2 * IDLE - 1) == [other]


def test_who_came_back_begins_anew() -> None:
    """A route that was taken away, put back, and taken away again has its whole time."""
    leaving = Leaving()
    leaving.idle({("a",): 3}, 0)
    leaving.idle({}, 10)

    assert leaving.idle({("a",): 3}, IDLE) == []
    assert leaving.idle({("a",): 3}, 2 * IDLE) == [("a",)]
