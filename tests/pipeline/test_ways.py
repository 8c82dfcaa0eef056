"""Two ways to answer a command, one outcome: where it is read, and through aiosmtpd's methods in a task.

The same conversations, in one read and in reads of one octet, must get the same replies, put the same messages and count the same
refusals, with the usual way and without it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway.config.model import Limits
from smtp_gateway.listener import usual
from tests.support.gateway import config
from tests.support.wire import AUTHENTICATED, Caller, Counter

if TYPE_CHECKING:
    from collections.abc import Callable

MAIL, RCPT = b"MAIL FROM:<a@example.com>\r\n", b"RCPT TO:<b@example.net>\r\n"
BODY = b"Subject: x\r\n\r\n..hello\r\n.\r\n"
SENT = MAIL + RCPT + b"DATA\r\n" + BODY

CONVERSATIONS = {
    "one message": SENT,
    "two messages": SENT * 2,
    "two recipients": MAIL + RCPT + b"RCPT TO:<C@Example.ORG>\r\nDATA\r\n" + BODY,
    "null sender": b"MAIL FROM:<>\r\n" + RCPT + b"DATA\r\n" + BODY,
    "parameters": b"mail from:<a@example.com> size=100 body=8bitmime\r\nrcpt to:<b@example.net>\r\ndata\r\n" + BODY,
    "smtputf8": b"MAIL FROM:<a@example.com> SMTPUTF8\r\n" + RCPT + "RCPT TO:<\u00fc@example.net>\r\n".encode() + b"DATA\r\n" + BODY,
    "too large by its own account": b"MAIL FROM:<a@example.com> SIZE=99999\r\n" + RCPT,
    "notifications": b"MAIL FROM:<a@example.com> RET=HDRS ENVID=Qq+2B1\r\n"
    + RCPT
    + b"RCPT TO:<c@example.net> NOTIFY=NEVER\r\nDATA\r\n"
    + BODY
    + SENT,
    "one chunk": MAIL + RCPT + b"BDAT 5 LAST\r\nhello" + SENT,
    "chunks": MAIL + RCPT + b"BDAT 3\r\n.\r\nbdat 0\r\nBDAT 4\r\nx\r\n.BDAT 0 last\r\n" + SENT,
    "chunks of nothing": MAIL + RCPT + b"BDAT 0 LAST\r\n" + SENT,
    "a chunk that looks like commands": MAIL + RCPT + b"BDAT 19 LAST\r\n\r\n.\r\nRSET\r\nQUIT\r\nx" + SENT,
    "chunk and DATA": MAIL + RCPT + b"BDAT 1\r\nxDATA\r\n" + RCPT + MAIL + b"BDAT 2 LAST\r\n\r\n" + SENT,
    "chunk and RSET": MAIL + RCPT + b"BDAT 1\r\nxRSET\r\n" + SENT,
    "chunk and EHLO": MAIL + RCPT + b"BDAT 1\r\nxEHLO again.example\r\n" + SENT,
    "chunks without a transaction": b"BDAT 6\r\nRSET\r\n" + MAIL + b"BDAT 6 LAST\r\nRSET\r\n" + RCPT + b"BDAT 1 LAST\r\nx" + SENT,
    "chunks with a bare line end": MAIL + RCPT + b"BDAT 3\r\na\nbBDAT 1 LAST\r\nx" + SENT,
    "chunks that end in half a line end": MAIL + RCPT + b"BDAT 2 LAST\r\na\r" + SENT,
    "chunks too large": MAIL + RCPT + b"BDAT 9000\r\n" + b"x" * 9000 + b"BDAT 2000\r\n" + b"x" * 2000 + b"BDAT 1 LAST\r\nx" + SENT,
    "a chunk without a number": MAIL + RCPT + b"BDAT LAST\r\n" + SENT,
    "a chunk of less than nothing": MAIL + RCPT + b"BDAT -1\r\n" + SENT,
    "source route": MAIL + b"RCPT TO:<@hop.example:b@example.net>\r\nDATA\r\n" + BODY,
    "quoted": b'MAIL FROM:<"a b"@example.com>\r\nRCPT TO:<"c>d"@example.net>\r\nDATA\r\n' + BODY,
    "out of order": RCPT + b"DATA\r\n" + MAIL + MAIL + b"DATA\r\n" + RCPT + b"DATA x\r\n",
    "too many recipients": MAIL + RCPT * 7,
    "reset": MAIL + RCPT + b"RSET\r\nDATA\r\n" + SENT,
    "greeted again": MAIL + b"EHLO again.example\r\n" + RCPT + SENT,
    "HELO": b"HELO old.example\r\nMAIL FROM:<a@example.com> SIZE=1\r\n" + SENT,
    "bare line endings": MAIL + RCPT + b"DATA\r\na\nb\r\n.\r\n" + SENT,
    "too large": MAIL + RCPT + b"DATA\r\n" + b"x" * 20_000 + b"\r\n.\r\n" + SENT,
    "malformed lines": b"MAIL FROM:<a@example.com>\nMAIL FROM:<a\x00@example.com>\r\n" + SENT,
    "blanks": b"MAIL FROM:<a@example.com> \r\nRCPT TO:<b@example.net>  \r\nDATA \r\n" + BODY,
    "quit in the middle": MAIL + b"QUIT\r\n" + SENT,
    "PROXY header": MAIL + b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 25\r\n" + RCPT,
    "PROXY header in binary": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\xc0\x00\x02\x07\xc6\x33\x64\x01\xc8\x22\x00\x19" + SENT,
    "quit with an argument": b"QUIT now\r\n" + SENT,
}
"""What is known to be interesting."""

ADDRESSES = [
    *(b"<a@example.com>", b"<A.B+c@Example.COM>", b"<>", b"<x@localhost>", b"<_a@_b.example>", b"<a@b--c.example>", b'<"q q"@example.com>'),
    *(b"<postmaster>", b"<Postmaster>", b"<@hop.example:a@example.com>", b"<a@[192.0.2.1]>", b"<a@[IPv6:::1]>", b"<a@[nowhere]>"),
    *(b"<a>", b"<a@>", b"<@b>", b"<a@@b>", b"<.a@b>", b"<a.@b>", b"<a..b@c>", b"<a@-b>", b"<a@b->", b"<a@b..c>", b"<a@b.>"),
    *(b"a@example.com", b"<a@example.com", b"a@example.com>", b"<a b@c>", b"<a@b c>", b"<a\x01@b>", b"<\xff@b>", b"", b"<a@b>x"),
    *(
        "<\u00fc@example.com>".encode(),
        "<a@\u00fc.example>".encode(),
        b"<" + b"a" * 64 + b"@example.com>",
        b"<" + b"a" * 65 + b"@example.com>",
    ),
    *(b"<a@" + b"b" * 63 + b".example>", b"<a@" + b"b" * 64 + b".example>", b"<a@" + b"b." * 120 + b"c>", b"<a@" + b"b." * 130 + b"c>"),
]
PARAMETERS = [
    *(b"", b" ", b" SIZE=1", b" SIZE=10000", b" SIZE=10001", b" SIZE=0", b" size=12", b" SIZE=", b" SIZE", b" SIZE=x", b" SIZE=1 SIZE=1"),
    *(b" BODY=7BIT", b" body=8bitmime", b" BODY=BINARYMIME", b" BODY", b" SMTPUTF8", b" SMTPUTF8=1", b" AUTH=<>", b" NOTIFY=NEVER"),
    *(b" RET=FULL", b" ret=hdrs ENVID=Qq+2B1", b" RET=NONE", b" RET", b" ENVID=a+0D", b" ENVID=" + b"x" * 101, b" RET=FULL RET=HDRS"),
    *(b" NOTIFY=success,Delay ORCPT=rfc822;B@Example.net", b" NOTIFY=NEVER,DELAY", b" NOTIFY", b" ORCPT=b@example.net", b" ORCPT=;x"),
    *(b" SIZE=1 BODY=8BITMIME SMTPUTF8", b"  SIZE=1", b" SIZE=1 ", b" X", b" =", b" SIZE=" + b"1" * 16, b"\t"),
]
NAMES = [b" client.example", b" [192.0.2.1]", b" a b", b" ", b"", b" \xff", b" x" * 200, b" " + b"x" * 300, b" under_score", b" a\x00"]
ARGUMENTS = [b"", b" ", b" x", b"  ", b"\t", b" " + b"x" * 3000]


def lines() -> list[bytes]:
    """Return every command in every spelling that is tried, without its line's end."""
    mail = [b"MAIL FROM:" + address for address in ADDRESSES] + [b"MAIL FROM:<a@example.com>" + each for each in PARAMETERS]
    rcpt = [b"RCPT TO:" + address for address in ADDRESSES] + [b"RCPT TO:<b@example.net>" + each for each in PARAMETERS]
    odd = [
        b"MAIL",
        b"MAIL FROM",
        b"MAIL  FROM:<a@b>",
        b"MAIL FROM: <a@b>",
        b"MAIL FROM:  <a@b>",
        b"Mail From:<a@b>",
        b"RCPT",
        b"RCPT TO: <a@b>",
    ]
    greetings = [verb + name for verb in (b"EHLO", b"HELO", b"ehlo") for name in NAMES]
    plain = [verb + each for verb in (b"DATA", b"RSET", b"NOOP", b"noop", b"VRFY", b"HELP", b"EXPN", b"AUTH", b"FLY") for each in ARGUMENTS]
    return mail + rcpt + odd + greetings + plain + [b"", b" ", b".", b"NOOPX", b" NOOP", b"\xff\xff", b"QUIT x"]


LINES = lines()


def generated(seed: int) -> bytes:
    """Return a conversation of what may come, which is in order often enough to get somewhere."""
    chance = random.Random(seed)  # noqa: S311 a reproducible choice, not a secret
    said: list[bytes] = []
    for _ in range(chance.randrange(4, 16)):
        kind = chance.random()
        if kind < 0.3:
            said += [MAIL, RCPT] + [b"DATA\r\n" + BODY] * chance.randrange(2)
        else:
            said.append(chance.choice(LINES) + (b"\r\n" if kind < 0.97 else chance.choice([b"\n", b"\r\r\n"])))
    return b"".join(said)


async def outcome(octets: bytes, cut: Callable[[bytes], list[bytes]]) -> tuple[bytes, list[Any], list[Any]]:
    """Return what was said, the envelopes and bodies that were put, and what was observed."""
    counter = Counter(config(limits=Limits(message_size=10_000, recipients=5)))
    caller = Caller(counter)
    # Whether the conversation ended in a body or in a transaction: here it is over.
    await caller.send(cut(AUTHENTICATED + octets + b"\r\n.\r\nQUIT\r\n"))
    said = await caller.dismissed()
    messages = [(message.envelope, body) for message, body in zip(counter.recorded.messages, counter.recorded.bodies, strict=True)]
    return said, messages, counter.observer.events


def whole(octets: bytes) -> list[bytes]:
    """One read."""
    return [octets]


def singly(octets: bytes) -> list[bytes]:
    """A read for each octet."""
    return [octets[at : at + 1] for at in range(len(octets))]


async def both_ways(octets: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, list[Any], list[Any]]:
    """Return the outcome, which must not depend on the way."""
    usually = await outcome(octets, whole)
    assert await outcome(octets, singly) == usually
    with monkeypatch.context() as without:
        without.setattr(usual, "command", lambda _octets, _position: None)
        assert await outcome(octets, whole) == usually
    return usually


@pytest.mark.parametrize("octets", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
async def test_both_ways_say_and_do_the_same(octets: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a command is answered where it is read or by aiosmtpd cannot be told from outside."""
    await both_ways(octets, monkeypatch)


@pytest.mark.parametrize("block", range(10))
async def test_both_ways_agree_about_every_command(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each spelling before MAIL and inside a transaction, with one message behind it."""
    for line in LINES[block::10]:
        said, _, _ = await both_ways(line + b"\r\n" + MAIL + line + b"\r\n" + RCPT + line + b"\r\n\r\n.\r\n" + SENT, monkeypatch)
        assert said.startswith(b"220 ")


@pytest.mark.parametrize("block", range(10))
async def test_both_ways_agree_about_what_chance_says(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences of them, most of which get messages through."""
    put = 0
    for seed in range(block * 15, block * 15 + 15):
        _, messages, _ = await both_ways(generated(seed), monkeypatch)
        put += len(messages)

    assert put > 5


@pytest.mark.parametrize("octets", [MAIL, RCPT, b"DATA\r\n", b"AUTH PLAIN\r\n", b"EHLO a\r\n", b"HELO a\r\n", b"RSET\r\n", SENT])
async def test_both_ways_agree_about_who_is_not_authenticated(octets: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of refusals is one: greeting, TLS, login."""
    monkeypatch.setattr("tests.pipeline.test_ways.AUTHENTICATED", b"")
    await both_ways(octets, monkeypatch)
    monkeypatch.setattr("tests.pipeline.test_ways.AUTHENTICATED", b"EHLO client.example\r\n")
    await both_ways(octets, monkeypatch)
