"""What the bench makes of what it measured."""

from __future__ import annotations

import os

import pytest

from bench.measure import Measurement
from bench.postal import counted
from bench.processes import cpu_seconds, stat_fields, tree
from bench.report import table
from bench.rows import ROWS, Row

ROW = Row("A", "4 KB, a connection each", 4096, 10, reused=False)


def measured(relay: str, *rates: float) -> list[Measurement]:
    """Return measurements of *relay* with these rates of delivery."""
    return [Measurement(relay, ROW.name, accepted=2 * rate, delivered=rate, cpu=100.0, rss=50.0, pss=40.0) for rate in rates]


def test_the_table_has_medians_spread_and_ratio() -> None:
    """One relay's bad round changes neither its median nor the ratio to the reference."""
    text = table([ROW], [*measured("limit", 900), *measured("gateway", 300, 10, 310), *measured("postfix", 100, 90, 400)])

    assert "## A: 4 KB, a connection each" in text
    assert "| limit | 1800 | 900 (900-900) | 9.00 |  |  |  |" in text
    assert "| gateway | 600 | 300 (10-310) | 3.00 | 100 | 50 | 40 |" in text
    assert "| postfix | 200 | 100 (90-400) | 1.00 | 100 | 50 | 40 |" in text


def test_without_the_reference_there_is_no_ratio() -> None:
    """A run of one relay alone says nothing about others."""
    assert "| gateway | 600 | 300 (300-300) |  | 100 | 50 | 40 |" in table([ROW], measured("gateway", 300))


@pytest.mark.parametrize(
    ("shown", "count"), [(b"", 0), (b"sess=1 quit=0 mesg=7\r", 7), (b"mesg=9\rsess=20 quit=20 mesg=10\r", 10), (b"sess=1 quit", 0)]
)
def test_the_sinks_last_count_counts(shown: bytes, count: int) -> None:
    """It is written anew for each message, with a carriage return between."""
    assert counted(shown) == count


def test_a_process_is_in_its_own_tree() -> None:
    """What is read of /proc is read of the right process."""
    assert tree(os.getpid())[0] == os.getpid()
    assert int(stat_fields(os.getpid())[1]) == os.getppid()
    assert cpu_seconds(os.getpid()) > 0
    assert stat_fields(2**30) == []


def test_rows_have_names_of_their_own() -> None:
    """The command line chooses rows by letter."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(len(row.name) == 1 for row in ROWS)
