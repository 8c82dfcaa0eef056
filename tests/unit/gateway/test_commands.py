from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.intake import Room
from smtp_gateway.listener.body import IncomingBody
from smtp_gateway.listener.commands import (
    AUTH_LIMIT,
    BARE_LF,
    CONTROL_CHARACTER,
    FAULTS_LIMIT,
    LINE_TOO_LONG,
    TOO_MANY_FAULTS,
    CommandReader,
    LineTooLongError,
    PeerGoneError,
    line_fault,
    verb_of,
)

if TYPE_CHECKING:
    from smtp_gateway.mail.reply import Reply


class Listening:
    """A dialogue that remembers what was refused."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.refused: list[Reply] = []

    def before_command(self) -> None:
        """Let every command come."""

    async def took(self, line: bytes) -> bool:
        """Answer what begins with TAKE."""
        return line.startswith(b"TAKE")

    async def drain(self) -> None:
        """Read every reply at once."""

    async def refuse_line(self, reply: Reply) -> None:
        """Remember."""
        self.refused.append(reply)


def reader(octets: bytes) -> tuple[CommandReader, Listening]:
    """Return a reader of a stream that holds *octets* and then ends."""
    stream, dialogue = asyncio.StreamReader(), Listening()
    stream.feed_data(octets)
    stream.feed_eof()
    return CommandReader(stream, dialogue), dialogue


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


async def test_good_lines_come_in_order_and_bad_ones_are_answered_between_them() -> None:
    """A reader skips what it refused."""
    commands, dialogue = reader(b"NOOP\r\nRSET\nHELP \x00\r\nQUIT\r\n")

    assert await commands.readuntil() == b"NOOP\r\n"
    assert await commands.readuntil() == b"QUIT\r\n"
    assert dialogue.refused == [BARE_LF, CONTROL_CHARACTER]
    with pytest.raises(PeerGoneError):
        await commands.readuntil()


async def test_whoever_sends_nothing_but_faults_is_sent_away() -> None:
    """The tenth malformed line ends the session."""
    commands, dialogue = reader(b"x\n" * 1000)

    with pytest.raises(PeerGoneError):
        await commands.readuntil()
    assert len(dialogue.refused) == FAULTS_LIMIT
    assert dialogue.refused[-1] == TOO_MANY_FAULTS


async def test_an_overlong_line_is_read_to_its_end_and_forgotten() -> None:
    """What it contained is not taken for commands."""
    commands, dialogue = reader(b"NOOP " + b"QUIT\r" * 100_000 + b"\r\nRSET\r\n")

    assert await commands.readuntil() == b"RSET\r\n"
    assert dialogue.refused == [LINE_TOO_LONG]


@pytest.mark.parametrize(("octets", "fits"), [(AUTH_LIMIT, True), (AUTH_LIMIT + 1, False)])
async def test_a_line_may_have_as_many_octets_as_auth_needs(octets: int, fits: bool) -> None:  # noqa: FBT001 a table's column
    """12,288 octets, CRLF included (RFC 4954 section 4)."""
    commands, _ = reader(b"x" * (octets - 2) + b"\r\n")

    if fits:
        assert len(await commands.line()) == octets
    else:
        with pytest.raises(LineTooLongError):
            await commands.line()


async def test_a_body_leaves_what_follows_it_for_the_next_command() -> None:
    """Pipelined commands behind the end of data are not lost."""
    commands, _ = reader(b"DATA\r\nhello\r\n.\r\nQUIT\r\n")
    incoming = IncomingBody(1000, Room(1000))

    await commands.readuntil()
    await commands.body(incoming, lambda: None)
    assert incoming.finish() == b"hello\r\n.\r\n"
    assert await commands.readuntil() == b"QUIT\r\n"


async def test_a_client_that_goes_in_the_middle_of_a_body_leaves_none() -> None:
    """A body without its end is never finished."""
    commands, _ = reader(b"hello\r\n")

    with pytest.raises(PeerGoneError):
        await commands.body(IncomingBody(1000, Room(1000)), lambda: None)


async def test_progress_is_told_for_what_is_kept_and_not_for_what_is_swallowed() -> None:
    """An endless body does not renew its own time."""
    told: list[None] = []
    commands, _ = reader(b"x" * 300_000)
    with pytest.raises(PeerGoneError):
        await commands.body(IncomingBody(10**6, Room(10**6)), lambda: told.append(None))
    kept = len(told)

    commands, _ = reader(b"x" * 300_000)
    with pytest.raises(PeerGoneError):
        await commands.body(IncomingBody(1000, Room(10**6)), lambda: told.append(None))
    assert kept >= 1
    assert len(told) == kept


async def test_forgetting_drops_what_was_received() -> None:
    """Both what the reader took and what the stream holds."""
    stream = asyncio.StreamReader()
    commands = CommandReader(stream, Listening())
    stream.feed_data(b"STARTTLS\r\nEHLO early\r\n")
    await commands.readuntil()
    stream.feed_data(b"EHLO evil\r\n")

    commands.forget()
    stream.feed_data(b"EHLO good\r\n")
    assert await commands.readuntil() == b"EHLO good\r\n"


async def test_what_the_session_answers_itself_is_not_handed_on() -> None:
    """The next line that it does not answer is."""
    commands, _ = reader(b"TAKE 1\r\nTAKE 2\r\nNOOP\r\n")

    assert await commands.readuntil() == b"NOOP\r\n"
