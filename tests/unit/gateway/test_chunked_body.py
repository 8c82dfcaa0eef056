"""Chunks into wire form, however they are cut."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtp_gateway.delivery.wire import check_body
from smtp_gateway.intake import Room
from smtp_gateway.listener.body import PIECES
from smtp_gateway.listener.chunked import ChunkedBody
from smtp_gateway.mail import reply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smtp_gateway.mail.reply import Reply

PLENTY = 10**9


def received(chunks: Iterable[bytes], limit: int = PLENTY, room: int = PLENTY) -> bytes | Reply:
    """Return what *chunks* come to."""
    incoming = ChunkedBody(limit, Room(room))
    for chunk in chunks:
        incoming.feed_chunk(chunk)
    if incoming.refusal is None:
        incoming.finish()
    return incoming.take() if incoming.refusal is None else incoming.refusal


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b"\r\n", b"\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"..\r\n.", b"...\r\n..\r\n.\r\n"),
        (b"a\r\n.\r\nMAIL FROM:<evil@example.com>\r\n", b"a\r\n..\r\nMAIL FROM:<evil@example.com>\r\n.\r\n"),
        (b"\r\n\r\n.\r\n.\r\n", b"\r\n\r\n..\r\n..\r\n.\r\n"),
        (b"\xff\x00.\r\n\x00.", b"\xff\x00.\r\n\x00.\r\n.\r\n"),
    ],
)
def test_every_cut_of_the_content_gives_the_same_wire_form(content: bytes, wire: bytes) -> None:
    """Dots are stuffed, the end of data is one, and the last line has its end, wherever chunks do."""
    check_body(wire)
    for cut in range(len(content) + 1):
        assert received([content[:cut], content[cut:]]) == wire
    assert received(content[at : at + 1] for at in range(len(content))) == wire


SMUGGLING = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\r\n.\r\r\n", b"\n", b"\r", b"\n\r"]


@pytest.mark.parametrize("false_end", SMUGGLING)
def test_bare_line_ends_are_refused_however_they_are_cut(false_end: bytes) -> None:
    """In the middle and at the end of the message: nothing that a server further on could take for an end goes out."""
    for content in (b"a" + false_end + b"b\r\n", b"a" + false_end, false_end + b"b"):
        for cut in range(len(content) + 1):
            assert received([content[:cut], content[cut:]]) == reply.BARE_LINE_ENDING


@settings(derandomize=True, database=None, deadline=None)
@given(
    st.lists(st.binary(max_size=6) | st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"\r\n.\r\n", b"\r\n.", b"x"]), max_size=12), st.data()
)
def test_whatever_comes_is_refused_or_safe_to_send(parts: list[bytes], data: st.DataObject) -> None:
    """What is taken has one end of data, at its end, and is the content again once it is unstuffed."""
    content = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    found = received(content[begin:end] for begin, end in pairwise([0, *cuts, len(content)]))
    if isinstance(found, bytes):
        check_body(found)
        lines = found.removesuffix(b".\r\n").split(b"\r\n")
        unstuffed = b"\r\n".join(line.removeprefix(b".") for line in lines)
        assert unstuffed in {content, content + b"\r\n"}
    else:
        assert b"\n" in content.replace(b"\r\n", b"") or b"\r" in content.replace(b"\r\n", b"")


def test_the_size_is_the_contents() -> None:
    """Stuffed dots and what is added at the end do not count (RFC 1870 section 5)."""
    assert received([b".\r\n" * 10], limit=30) == b"..\r\n" * 10 + b".\r\n"
    assert received([b"x" * 30], limit=30) == b"x" * 30 + b"\r\n.\r\n"
    assert received([b".\r\n" * 10, b"x"], limit=30) == reply.MESSAGE_TOO_LARGE
    assert received([b"x" * 20], room=19) == reply.SPOOL_FULL


def test_tiny_chunks_take_little_more_memory_than_large_ones() -> None:
    """A client that cuts its message into octets does not get forty times the memory."""
    incoming = ChunkedBody(PLENTY, Room(PLENTY))
    for _ in range(10_000):
        incoming.feed_chunk(b"x")
        assert len(incoming._pieces) <= PIECES  # noqa: SLF001 the memory is what is asked about

    assert incoming.take() == b"x" * 10_000
