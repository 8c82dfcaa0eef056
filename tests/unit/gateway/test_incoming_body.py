from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.intake import Room
from smtp_gateway.listener.body import LINE_LIMIT, PIECES, IncomingBody
from smtp_gateway.mail import reply

if TYPE_CHECKING:
    from smtp_gateway.mail.reply import Reply

PLENTY = 10**9


def finished(incoming: IncomingBody) -> bytes | Reply:
    """Return the body, or why it is refused."""
    return incoming.take() if incoming.refusal is None else incoming.refusal


def received(stream: bytes, *cuts: int, limit: int = PLENTY, room: int = PLENTY) -> tuple[bytes | Reply | None, bytes | None]:
    """Feed *stream*, cut at *cuts*; return the body or refusal and the octets behind it, or None twice when it did not end."""
    incoming = IncomingBody(limit, Room(room))
    edges = [0, *sorted(cuts), len(stream)]
    for begin, end in pairwise(edges):
        rest = incoming.feed(stream[begin:end])
        if rest is not None:
            return finished(incoming), rest + stream[end:]
    return None, None


@pytest.mark.parametrize(
    "body",
    [
        b".\r\n",
        b"\r\n.\r\n",
        b"a\r\n.\r\n",
        b"..\r\n.\r\n",
        b"...\r\n..a\r\n.\r\n",
        b".\x00\r\n.\r\n",
        b"\xff\x00\x80\r\n.\r\n",
        b"x" * 5000 + b"\r\n.\r\n",
        b"a\r\n\r\n\r\n.\r\n",
    ],
)
def test_every_cut_of_the_stream_gives_the_same_body(body: bytes) -> None:
    """The body is found and kept in wire form, and what follows it is left alone, wherever chunks end."""
    stream = body + b"MAIL FROM:<a@b>\r\n.\r\n"
    cuts = range(len(stream)) if len(stream) < 100 else range(len(body) - 8, len(body) + 8)
    for cut in cuts:
        assert received(stream, cut) == (body, b"MAIL FROM:<a@b>\r\n.\r\n")
    assert received(stream, *range(len(stream))) == (body, b"MAIL FROM:<a@b>\r\n.\r\n")


SMUGGLING = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\n.\r\n",
    b"\r\n.\r\r\n",
    b"\n.\r",
]


@pytest.mark.parametrize("false_end", SMUGGLING)
def test_no_other_sequence_ends_a_body(false_end: bytes) -> None:
    """What looks like an end to careless servers is content here, and the whole is refused at its true end."""
    stream = b"a" + false_end + b"MAIL FROM:<evil@example.com>\r\n.\r\nNOOP\r\n"

    assert received(stream) == (reply.BARE_LINE_ENDING, b"NOOP\r\n")
    assert received(stream, *range(len(stream))) == (reply.BARE_LINE_ENDING, b"NOOP\r\n")


def test_a_nul_in_the_end_of_data_is_no_end() -> None:
    """CRLF NUL "." CRLF is a line that begins with NUL."""
    body = b"a\r\n\x00.\r\nb\r\n.\r\n"

    assert received(body) == (body, b"")


def test_a_body_that_does_not_end_is_waited_for() -> None:
    """Half an end is none."""
    for stream in (b"", b".", b".\r", b"a\r\n.", b"a\r\n.\r", b"a.\r\n", b"a\r\n..\r\n"):
        assert received(stream) == (None, None)


@pytest.mark.parametrize(
    ("body", "octets"),
    [(b".\r\n", 0), (b"\r\n.\r\n", 2), (b"..\r\n.\r\n", 3), (b"a\r\n..b\r\n...\r\n.\r\n", 3 + 4 + 4), (b"a.\r\n.\r\n", 4)],
)
def test_size_is_counted_without_stuffing(body: bytes, octets: int) -> None:
    """RFC 1870 counts what the client announces: content without the transparency of DATA, wherever chunks end."""
    for cuts in ((), tuple(range(len(body)))):
        assert received(body, *cuts, limit=octets) == (body, b"")
        if octets:
            assert received(body, *cuts, limit=octets - 1) == (reply.MESSAGE_TOO_LARGE, b"")


def test_a_body_of_exactly_the_limit_is_taken_and_one_octet_more_is_not() -> None:
    """Dots that stuffing added do not count."""
    exact = b"..\r\n" * 300 + b"x" * 98 + b"\r\n.\r\n"
    assert received(exact, limit=1000) == (exact, b"")
    assert received(b"x" + exact, limit=1000) == (reply.MESSAGE_TOO_LARGE, b"")


def test_the_rest_of_an_oversize_body_is_swallowed_without_being_kept() -> None:
    """Memory stays bounded, and the end is still found behind it."""
    room = Room(PLENTY)
    incoming = IncomingBody(1000, room)
    for _ in range(1000):
        assert incoming.feed(b"x" * 998 + b"\r\n") is None
        assert room.held <= 2000
    assert incoming.refusal == reply.MESSAGE_TOO_LARGE
    assert not incoming.progressing
    assert incoming.feed(b".\r") is None
    assert incoming.feed(b"\nNOOP\r\n") == b"NOOP\r\n"
    assert finished(incoming) == reply.MESSAGE_TOO_LARGE


def test_without_room_a_body_is_swallowed_and_refused_for_now() -> None:
    """Other sessions' bodies may leave none; the client comes again."""
    assert received(b"x" * 5000 + b"\r\n.\r\n", 100, 2000, room=1000) == (reply.SPOOL_FULL, b"")


def test_room_is_given_back_once() -> None:
    """After `release` nothing is held, however often it is called."""
    room = Room(5000)
    incoming = IncomingBody(PLENTY, room)
    incoming.feed(b"x" * 4000)
    assert room.held == 4000

    incoming.release()
    incoming.release()
    assert room.held == 0


def test_octets_behind_the_end_are_not_charged() -> None:
    """A client that pipelines much behind a small body does not use up its room."""
    room = Room(100)
    incoming = IncomingBody(PLENTY, room)

    assert incoming.feed(b"a\r\n.\r\n" + b"NOOP\r\n" * 100) == b"NOOP\r\n" * 100
    assert finished(incoming) == b"a\r\n.\r\n"
    assert room.held == len(b"a\r\n")


def test_a_large_body_is_taken_in_parts_that_make_the_whole() -> None:
    """What was spilled is not held, and takes no more room than it took until then."""
    room, body = Room(PLENTY), b"..dots\r\nand more\r\n" * 5000 + b".\r\n"
    incoming, taken = IncomingBody(PLENTY, room), b""
    for begin in range(0, len(body), 777):
        incoming.feed(body[begin : begin + 777])
        if incoming.held > 20_000:
            taken += incoming.spill()
            assert room.held <= 21_000

    assert taken + incoming.take() == body
    assert incoming.refusal is None


def test_a_body_that_is_refused_from_outside_is_swallowed() -> None:
    """Nothing is held of it, before and after; its end is still found."""
    incoming = IncomingBody(PLENTY, Room(PLENTY))
    incoming.feed(b"a\r\n")
    incoming.refuse(reply.TRY_AGAIN_LATER)

    assert incoming.feed(b"b\r\n.\r\nNOOP\r\n") == b"NOOP\r\n"
    assert incoming.held == 0
    assert finished(incoming) == reply.TRY_AGAIN_LATER


def test_a_refused_body_within_the_limit_is_still_progress() -> None:
    """A slow client with bare line ends is told so at its end, and not cut off for being slow."""
    incoming = IncomingBody(1000, Room(PLENTY))
    incoming.feed(b"a\nb\r\n")

    assert incoming.refusal == reply.BARE_LINE_ENDING
    assert incoming.progressing
    incoming.feed(b"x" * 2000)
    assert not incoming.progressing


def long_line(octets: int, *, stored: int) -> Reply | None:
    """Feed a line of so many octets as a large body comes, of which *stored* have spilled before; return why it is refused."""
    incoming = IncomingBody(PLENTY, Room(PLENTY))
    stream = b"x" * octets + b"\r\n.\r\n"
    incoming.feed(b"Subject: x\r\n\r\n" + stream[:stored])
    incoming.spill()
    for at in range(stored, len(stream), 100_000):
        incoming.feed(stream[at : at + 100_000])
    return incoming.refusal


@pytest.mark.parametrize("stored", [0, 1, 250_000])
def test_a_line_has_a_bound_far_beyond_the_standard(stored: int) -> None:
    """A megabyte is taken, an octet more is not, and what is longer is refused before it ends."""
    assert long_line(LINE_LIMIT, stored=stored) is None
    assert long_line(LINE_LIMIT + 1, stored=stored) == reply.LINE_TOO_LONG
    incoming = IncomingBody(PLENTY, Room(PLENTY))
    incoming.feed(b"x" * 1000)
    incoming.spill()
    for _ in range(12):
        incoming.feed(b"x" * 100_000)
    assert incoming.refusal == reply.LINE_TOO_LONG


def test_many_lines_are_not_one() -> None:
    """However large the body is."""
    incoming = IncomingBody(PLENTY, Room(PLENTY))
    incoming.spill()
    for _ in range(40):
        incoming.feed((b"x" * 900 + b"\r\n") * 111 + b"y" * 77)
        incoming.spill()
    assert incoming.refusal is None


def test_tiny_reads_take_little_more_memory_than_large_ones() -> None:
    """A client that sends octet by octet does not get forty times the memory."""
    incoming = IncomingBody(PLENTY, Room(PLENTY))
    for _ in range(10_000):
        incoming.feed(b"x")
        assert len(incoming._pieces) <= PIECES  # noqa: SLF001 the memory is what is asked about

    assert incoming.take() == b"x" * 10_000
