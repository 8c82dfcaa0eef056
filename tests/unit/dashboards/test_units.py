"""Numbers as the pictures of dashboards say them."""

from __future__ import annotations

import pytest

from dashboards.units import spoken


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0, "short", "0"),
        (999, "short", "999"),
        (12345, "short", "12.3 k"),
        (1e6, "short", "1 M"),
        (42.5, "cpm", "42.5/min"),
        (14, "cps", "14/s"),
        (0, "s", "0 s"),
        (0.0000305, "s", "30.5 µs"),
        (0.0123, "s", "12.3 ms"),
        (90, "s", "90 s"),
        (600, "s", "10 min"),
        (7 * 86400, "s", "7 days"),
        (1000 * 365 * 86400, "s", "1 k years"),
        (-30, "s", "-30 s"),
        (512, "bytes", "512 B"),
        (3 * 1024**3, "bytes", "3 GiB"),
        (2048, "binBps", "2 kiB/s"),
        (0.1234, "percentunit", "12%"),
        (1, "none", "1"),
    ],
)
def test_a_number_is_said_with_its_unit(value: float, unit: str, words: str) -> None:
    """Three digits, and the unit that people would choose."""
    assert spoken(value, unit) == words


def test_an_unknown_unit_is_an_error() -> None:
    """A panel with a unit that pictures do not know is found when it is drawn."""
    with pytest.raises(ValueError, match="furlongs"):
        spoken(1, "furlongs")
