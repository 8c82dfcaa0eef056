"""What the bench makes of marked mails."""

from __future__ import annotations

import pytest

from bench.fairness import Flood
from bench.latency import Mail, p95, read, table

MILLISECOND = 1_000_000


def mail(begin: int, acknowledged: int, arrived: int) -> Mail:
    """Return a mail with these milliseconds."""
    return Mail(begin * MILLISECOND, acknowledged * MILLISECOND, arrived * MILLISECOND)


def test_source_and_sink_are_brought_together_by_the_mark() -> None:
    """Each mail has the times that both wrote, and one that arrived twice counts from its first arrival."""
    mails = read("m1 1000000 3000000\nm2 5000000 9000000\n", "m2 8000000\nother 1\nm1 4000000\nm1 7000000\n")

    assert mails == [mail(1, 3, 4), mail(5, 9, 8)]
    assert [one.sent_to_arrival for one in mails] == [3, 3]


def test_a_mail_that_is_missing_makes_the_rest_wait() -> None:
    """Figures of the mails that were fast enough would say nothing about those that were not."""
    assert read("m1 1 2\nm2 3 4\n", "m1 2\n") is None


def test_arrival_before_the_reply_counts_as_no_time() -> None:
    """A relay may deliver before the client has read its 250."""
    assert mail(0, 5, 4).accepted_to_arrival == 0


def test_a_flood_has_a_pace_if_asked_for() -> None:
    """The pace is each session's, the rate that of all twenty, and a slow flood gets the time that it takes."""
    assert "-every" not in Flood(1000).load
    assert Flood(1000, rate=400).load[-2:] == ("-every", "50ms")
    assert Flood(1000, rate=10).within > Flood(1000, rate=400).within == Flood(1000).within


def test_p95() -> None:
    """Of twenty-one values in a row it is the twentieth; of one it is that one."""
    assert p95(list(range(21))) == pytest.approx(19)
    assert p95([7.0]) == 7.0


def test_the_table_has_the_ratio_to_the_mails_alone() -> None:
    """The median decides about the aim, and what grew from next to nothing has no ratio."""
    alone = [mail(0, 10, 10), mail(0, 10, 10), mail(0, 5, 10)]
    text = table(alone, {"in the flood": [mail(0, 10, 19)], "in the queue": [mail(0, 10, 30)]})

    assert "| alone | 3 | 10.0 | 10.0 | 10.0 | 0.0 | 4.5 | 5.0 |" in text
    assert "| in the flood | 1 | 19.0 | 19.0 | 19.0 | 9.0 | 9.0 | 9.0 |" in text
    assert "| ratio |  | 1.90 | 1.90 | 1.90 | - | 2.00 | 1.80 |" in text
    assert "- In the flood the median small mail takes 1.90 times as long: the aim, 2, is kept." in text
    assert "- In the queue the median small mail takes 3.00 times as long: the aim, 2, is not kept." in text
