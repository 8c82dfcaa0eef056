"""Durations and quantities."""

from __future__ import annotations

import pytest

from smtp_gateway.config import units


@pytest.mark.parametrize(("duration", "expected"), [("30s", 30), ("15m", 900), ("1h30m", 5400), ("5d", 432000), ("1d2h3m4s", 93784)])
def test_durations(duration: str, expected: float) -> None:
    """Parts add up."""
    assert units.seconds(duration) == expected


@pytest.mark.parametrize("wrong", ["", "5", "d", "5 d", "-5d", "1.5h", "5d\n", "5w", "123456s"])
def test_wrong_durations(wrong: str) -> None:
    """What is no duration is refused."""
    with pytest.raises(ValueError, match="is not a duration"):
        units.seconds(wrong)


@pytest.mark.parametrize(("quantity", "expected"), [("1", 1), (4096, 4096), ("500k", 500_000), ("25Mi", 26_214_400), ("1Ti", 2**40)])
def test_quantities(quantity: str | int, expected: int) -> None:
    """Decimal and binary suffixes are Kubernetes'."""
    assert units.octets(quantity) == expected


@pytest.mark.parametrize("wrong", ["", "0", "0Gi", "-1Gi", "1.5Gi", "1gi", "1Gi\n", "Gi"])
def test_wrong_quantities(wrong: str) -> None:
    """What is no whole quantity is refused."""
    with pytest.raises(ValueError, match="is not a quantity"):
        units.octets(wrong)


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("1", 1),
        ("25Mi", 26_214_400),
        ("1.5Gi", 3 * 2**29),
        ("5E", 5 * 10**18),
        ("1Ei", 2**60),
        ("2e9", 2 * 10**9),
        ("1E3", 1000),
        ("1500m", 1.5),
    ],
)
def test_amounts(quantity: str, expected: float) -> None:
    """Whatever the API server may say is understood: fractions, exponents, and suffixes up to exa."""
    assert units.amount(quantity) == expected


@pytest.mark.parametrize("wrong", ["", "Gi", "1gi", "1 Gi", "1Gi\n", "0x10"])
def test_wrong_amounts(wrong: str) -> None:
    """What is no quantity is refused."""
    with pytest.raises(ValueError, match="is not a quantity of Kubernetes"):
        units.amount(wrong)
