"""What the bench makes of what it measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench import plot
from bench.measure import Measurement, warm_up
from bench.report import Report
from bench.rows import ROWS, Row

if TYPE_CHECKING:
    from pathlib import Path

ROW = Row("A", "4 KB, a connection each", 4096, 10)
MACHINE = {"cores": "2", "postfix": "3.7.11"}


def measured(relay: str, *rates: float, steal: float = 0.0) -> list[Measurement]:
    """Return measurements of *relay* with these rates of delivery."""
    return [
        Measurement(relay, ROW.name, accepted=2 * rate, delivered=rate, cpu=100.0, rss=50.0, pss=40.0, busy=200.0, steal=steal)
        for rate in rates
    ]


def report(*found: Measurement) -> Report:
    """Return a report of what was *found* in one row."""
    return Report([ROW], found, MACHINE, "2026-01-02")


def accepted(relay: str, *rates: float) -> list[Measurement]:
    """Return measurements of *relay* that took mail at these rates, with the next hop off."""
    return [Measurement(relay, "G", accepted=rate, cpu=100.0, rss=50.0, pss=40.0, busy=200.0) for rate in rates]


def accept_report(*found: Measurement) -> Report:
    """Return a report of what was *found* in one row with the next hop off."""
    return Report([Row("G", "4 KB, next hop off", 4096, 10, accept_only=True)], found, MACHINE, "2026-01-02")


def test_the_table_has_medians_spread_and_ratio() -> None:
    """One relay's bad round changes neither its median nor the ratio to the reference."""
    text = report(*measured("limit", 900), *measured("gateway", 300, 10, 310), *measured("postfix", 100, 90, 400)).markdown()

    assert "medians of 3 rounds" in text
    assert "## A: 4 KB, a connection each" in text
    assert "| limit | 1800 | 900 (900-900) | 9.00 | 200 |  |  |  |" in text
    assert "| gateway | 600 | 300 (10-310) | 3.00 | 200 | 100 | 50 | 40 |" in text
    assert "| postfix | 200 | 100 (90-400) | 1.00 | 200 | 100 | 50 | 40 |" in text


def test_without_the_reference_there_is_no_ratio() -> None:
    """A run of one relay alone says nothing about others."""
    assert "| gateway | 600 | 300 (300-300) |  | 200 | 100 | 50 | 40 |" in report(*measured("gateway", 300)).markdown()


def test_what_is_only_taken_is_compared_with_both_references() -> None:
    """With the next hop off nothing is delivered, so the rates are those of acceptance, beside Postfix's and unmodified aiosmtpd's."""
    text = accept_report(*accepted("gateway", 900, 700, 800), *accepted("aiosmtpd", 100), *accepted("postfix", 200)).markdown()

    assert "| gateway | 800 (700-900) | 4.00 | 8.00 | 200 | 100 | 50 | 40 |" in text
    assert "| aiosmtpd | 100 (100-100) | 0.50 | 1.00 | 200 | 100 | 50 | 40 |" in text
    assert "accepted a second relative to Postfix" in text


def test_a_run_with_the_next_hop_off_does_not_replace_the_days_other_results(tmp_path: Path) -> None:
    """Both are kept side by side, and each page shows the plot of its own."""
    whole, only = report(*measured("gateway", 300)), accept_report(*accepted("gateway", 800))
    paths = {each.write(tmp_path) for each in (whole, only)}

    assert {path.name for path in paths} == {"2026-01-02.md", "2026-01-02-accept.md"}
    assert "(2026-01-02-accept.png)" in (tmp_path / "2026-01-02-accept.md").read_text()
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_noisy_measurement_is_pointed_out() -> None:
    """Time that the hypervisor gave to others is in no relay's power."""
    quiet, noisy = measured("postfix", 1, steal=4.9), measured("gateway", 1, steal=12.0)

    assert "at most 4.9 %" in report(*quiet).markdown()
    assert "with care: A gateway (12 %)." in report(*quiet, *noisy).markdown()


def test_every_measurement_is_kept_with_the_machine(tmp_path: Path) -> None:
    """The table can be made again from what is written, and whoever reads it knows what it was measured on."""
    path = report(*measured("gateway", 300, 310)).write(tmp_path / "results")
    data = json.loads(path.with_suffix(".json").read_text())

    assert "- postfix: 3.7.11" in path.read_text()
    assert data["machine"] == MACHINE
    assert [one["delivered"] for one in data["measurements"]] == [300, 310]
    assert Measurement(**data["measurements"][0]) == measured("gateway", 300)[0]


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    """It is drawn with the reference and without it, and leaves out the limit, which is no relay."""
    for found in ([*measured("limit", 900), *measured("gateway", 300), *measured("postfix", 100)], measured("exim", 10)):
        plot.draw(report(*found), tmp_path / "plot.png")

        assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_rows_have_names_of_their_own() -> None:
    """The command line chooses rows by letter."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(len(row.name) == 1 for row in ROWS)


def test_the_warm_up_is_small_and_meets_every_session() -> None:
    """It is a twentieth of the row, and in a small row one message a session."""
    assert warm_up(Row("X", "", 1, 4000)).messages == 200
    assert warm_up(Row("X", "", 1, 100)).messages == 20
