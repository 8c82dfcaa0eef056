from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smtp_gateway.listener.lines import (
    AUTH_LIMIT,
    BARE_LF,
    CONTROL_CHARACTER,
    Inbox,
    LineTooLongError,
    line_fault,
    verb_of,
)

if TYPE_CHECKING:
    from smtp_gateway.mail.reply import Reply


def inbox(octets: bytes) -> Inbox:
    """Return an inbox that holds *octets*."""
    filled = Inbox()
    filled.add(octets)
    return filled


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"NOOP\r\n", None),
        (b"\r\n", None),
        ("MAIL FROM:<ü@example.com> SMTPUTF8\r\n".encode(), None),
        (b"NOOP\n", BARE_LF),
        (b"\n", BARE_LF),
        (b"NOOP\rQUIT\r\n", CONTROL_CHARACTER),
        (b"NOOP \x00\r\n", CONTROL_CHARACTER),
        (b"NOOP\t\r\n", CONTROL_CHARACTER),
        (b"NOOP \x1b[2J\r\n", CONTROL_CHARACTER),
        (b"NOOP \x7f\r\n", CONTROL_CHARACTER),
        (b"NOOP\r\r\n", CONTROL_CHARACTER),
    ],
)
def test_a_line_ends_with_crlf_and_holds_no_controls(line: bytes, fault: Reply | None) -> None:
    """Everything else is refused before it becomes a command."""
    assert line_fault(line) == fault


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        (b"mail FROM:<a@b>\r\n", "MAIL"),
        (b"QUIT\r\n", "QUIT"),
        (b"", ""),
        (b"\r\n", ""),
        (b"cGFzc3dvcmQ=\r\n", ""),
        (b"\xff\r\n", ""),
        (b"X" * 40 + b"\r\n", ""),
    ],
)
def test_the_verb_is_letters_at_the_beginning(line: bytes, verb: str) -> None:
    """What is no verb gives none."""
    assert verb_of(line) == verb


def test_lines_come_in_order_and_a_part_of_one_is_waited_for() -> None:
    """Whatever ends with LF is a line, good or bad; what follows the last one stays."""
    arrived = inbox(b"NOOP\r\nRSET\nQU")

    assert arrived.line() == b"NOOP\r\n"
    assert arrived.line() == b"RSET\n"
    assert arrived.line() is None
    arrived.add(b"IT\r\n")
    assert arrived.line() == b"QUIT\r\n"
    assert arrived.octets == b""


def test_an_overlong_line_is_read_to_its_end_and_forgotten() -> None:
    """It takes no memory, and what it contained is not taken for commands."""
    arrived = Inbox()
    for _ in range(100):
        arrived.add(b"QUIT\r" * 1000)
        assert arrived.line() is None
        assert len(arrived.octets) <= AUTH_LIMIT
    arrived.add(b"\r\nRSET\r\n")

    with pytest.raises(LineTooLongError):
        arrived.line()
    assert arrived.line() == b"RSET\r\n"


@pytest.mark.parametrize(("octets", "fits"), [(AUTH_LIMIT, True), (AUTH_LIMIT + 1, False)])
def test_a_line_may_have_as_many_octets_as_auth_needs(octets: int, fits: bool) -> None:  # noqa: FBT001 a table's column
    """12,288 octets, CRLF included (RFC 4954 section 4)."""
    arrived = inbox(b"x" * (octets - 2) + b"\r\n")

    if fits:
        assert len(arrived.line() or b"") == octets
    else:
        with pytest.raises(LineTooLongError):
            arrived.line()


def test_taking_leaves_nothing() -> None:
    """A body takes everything, and gives back what follows it."""
    arrived = inbox(b"hello\r\n")

    assert arrived.take() == b"hello\r\n"
    assert arrived.take() == b""


def test_forgetting_drops_what_was_received() -> None:
    """The beginning of an endless line included."""
    arrived = inbox(b"x" * (AUTH_LIMIT + 1))
    assert arrived.line() is None
    arrived.add(b"EHLO evil\r\n")

    arrived.forget()
    arrived.add(b"EHLO good\r\n")
    assert arrived.line() == b"EHLO good\r\n"
