"""Octets from a next hop to replies, however they are cut."""

from __future__ import annotations

import random

import pytest

from smtp_gateway.delivery.replies import MAX_LINE, MAX_LINES, MAX_TEXT, MalformedReplyError, ReplyParser
from smtp_gateway.mail.reply import Reply


def parsed(octets: bytes, *, step: int = 1 << 30) -> list[Reply]:
    """Return the replies in *octets*, fed *step* octets at a time."""
    parser, replies = ReplyParser(), []
    for start in range(0, len(octets), step):
        parser.feed(octets[start : start + step])
        while (reply := parser.next_reply()) is not None:
            replies.append(reply)
    return replies


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"250 Ok\r\n", Reply(250, "", "Ok")),
        (b"250\r\n", Reply(250)),  # RFC 5321 section 4.2: clients must take a bare code
        (b"250 \r\n", Reply(250)),
        (b"250 2.1.0 Ok\r\n", Reply(250, "2.1.0", "Ok")),
        (b"250 2.1.0\r\n", Reply(250, "2.1.0")),
        (b"550 4.1.1 Odd\r\n", Reply(550, "", "4.1.1 Odd")),  # the class must be the reply's
        (b"550 5.1.1234 Odd\r\n", Reply(550, "", "5.1.1234 Odd")),
        (b"250-a\r\n250-b c\r\n250 d\r\n", Reply(250, "", "a\nb c\nd")),
        (b"550-5.7.1 No\r\n550 5.7.1 really\r\n", Reply(550, "5.7.1", "No\nreally")),
        (b"250-a\r\n250\r\n", Reply(250, "", "a\n")),
        (b"220 sm\xc3\xb6rg\xff\x07\r\n", Reply(220, "", "smörg\ufffd?")),
        (b"559 x\r\n", Reply(559, "", "x")),
        (b"571 x\r\n", Reply(571, "", "x")),  # beyond the grammar, and in use
    ],
)
def test_replies_are_read(octets: bytes, reply: Reply) -> None:
    """The same whether they come at once or octet by octet."""
    assert parsed(octets) == [reply]
    assert parsed(octets, step=1) == [reply]


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"\r\n",
        b"25 x\r\n",
        b"2500 x\r\n",
        b"250x\r\n",
        b"150 x\r\n",
        b"660 x\r\n",
        b"250 a\n",
        b"250 a\rb\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-a\r\nb\r\n",
        b" 250 a\r\n",
        b"250 " + b"x" * MAX_LINE + b"\r\n",
        b"x" * MAX_LINE,
        b"250-x\r\n" * (MAX_LINES + 1),
        "٢٥٠ x\r\n".encode(),
    ],
)
def test_what_is_not_a_reply_is_refused(octets: bytes) -> None:
    """By the grammar of RFC 5321 section 4.2, within our bounds."""
    with pytest.raises(MalformedReplyError):
        parsed(octets)


def test_the_text_that_is_kept_is_bounded() -> None:
    """Nobody reads more, and each message keeps what was last said about it."""
    assert parsed(b"451-4.3.0 " + b"x" * 6000 + b"\r\n451 4.3.0 y\r\n") == [Reply(451, "4.3.0", "x" * MAX_TEXT)]
    assert parsed(b"451-" + b"x" * 6000 + b"\r\n451 y\r\n") == [Reply(451, "", "x" * MAX_TEXT)]


def test_an_incomplete_reply_is_waited_for() -> None:
    """Nothing is guessed from a part, and it is not nothing."""
    parser = ReplyParser()
    parser.feed(b"250-a\r\n250 b")

    assert parser.next_reply() is None
    assert not parser.empty
    parser.clear()
    assert parser.empty
    parser.feed(b"220 x\r\n")
    assert parser.next_reply() == Reply(220, "", "x")


def test_a_flood_is_refused_while_it_arrives() -> None:
    """More than the longest reply is never held."""
    parser = ReplyParser()

    with pytest.raises(MalformedReplyError):
        parser.feed(b"x" * (MAX_LINE * MAX_LINES + 1))


def test_random_octets_raise_nothing_else() -> None:
    """Whatever arrives is a reply, the beginning of one, or refused."""
    chance = random.Random(220)  # noqa: S311 a reproducible choice, not a secret
    for _ in range(3000):
        octets = b"".join(chance.choice([b"250", b"-", b" ", b"\r\n", b"\n", b"5.1.1", b"x", b"\xff", b"421"]) for _ in range(12))
        try:
            replies = parsed(octets)
        except MalformedReplyError:
            continue
        assert all(200 <= reply.code < 600 for reply in replies)
