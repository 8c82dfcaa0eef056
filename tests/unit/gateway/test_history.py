"""What is kept of a message's attempts: five days of the same reply are one row."""

from __future__ import annotations

from smtp_gateway.spool.api import Attempted
from smtp_gateway.spool.history import ROWS, extended

A, B = ("a@x.example",), ("b@x.example",)


def deferred(at: float, reply: str = "450 Busy", recipients: tuple[str, ...] = A) -> Attempted:
    """Return what one attempt came to."""
    return Attempted(at, "deferred", "hop", reply, recipients)


def test_equal_attempts_are_one_row() -> None:
    """The first time, the last time and how often are what is kept."""
    history = extended(extended({}, [deferred(1)]), [deferred(2), deferred(5)])

    assert history == {1: Attempted(1, "deferred", "hop", "450 Busy", A, times=3, until=5)}


def test_another_reply_is_another_row() -> None:
    """What it said before it said something else is told in its place."""
    history = extended({}, [deferred(1), deferred(2, "451 Full"), deferred(3)])

    assert [(row.reply, row.at, row.times) for row in history.values()] == [("450 Busy", 1, 1), ("451 Full", 2, 1), ("450 Busy", 3, 1)]


def test_recipients_on_different_hops_do_not_disturb_each_other() -> None:
    """Two replies that alternate because two hops give them are two rows, not two for each attempt."""
    history = extended({}, [deferred(at, recipients=recipients) for at in (1, 2, 3) for recipients in (A, B)])

    assert [(row.recipients, row.times) for row in history.values()] == [(A, 3), (B, 3)]


def test_the_oldest_rows_go() -> None:
    """Replies that never repeat do not make the queue grow for days; numbers are not used again."""
    history = extended({}, [deferred(at, f"450 {at}") for at in range(ROWS + 5)])

    assert list(history) == list(range(6, ROWS + 6))
