"""Two ways through a transaction, one outcome: where the line is read, and through aiosmtpd.

The same conversations, whole in one write and cut in small pieces, must get the same replies and put the same messages.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import Limits
from smtp_gateway.listener.session import Session
from tests.support.conversation import Conversation, UnexpectedReplyError
from tests.support.gateway import Reception, config, reception, trusting

if TYPE_CHECKING:
    from pathlib import Path

TLS = trusting()
MAIL, RCPT = b"MAIL FROM:<a@example.com>\r\n", b"RCPT TO:<b@example.net>\r\n"
BODY = b"Subject: x\r\n\r\n..hello\r\n.\r\n"
SENT = MAIL + RCPT + b"DATA\r\n" + BODY

CONVERSATIONS = {
    "one message": SENT,
    "two messages": SENT * 2,
    "two recipients": MAIL + RCPT + b"RCPT TO:<C@Example.ORG>\r\nDATA\r\n" + BODY,
    "null sender": b"MAIL FROM:<>\r\n" + RCPT + b"DATA\r\n" + BODY,
    "parameters": b"mail from:<a@example.com> size=100 body=8bitmime\r\nrcpt to:<b@example.net>\r\ndata\r\n" + BODY,
    "smtputf8": b"MAIL FROM:<a@example.com> SMTPUTF8\r\n" + RCPT + b"DATA\r\n" + BODY,
    "too large by its own account": b"MAIL FROM:<a@example.com> SIZE=99999\r\n" + RCPT,
    "bad parameters": b"MAIL FROM:<a@example.com> SIZE=x\r\nMAIL FROM:<a@example.com> NONSENSE\r\nMAIL FROM:<a@example.com> BODY=x\r\n",
    "recipient with parameters": MAIL + b"RCPT TO:<b@example.net> NOTIFY=NEVER\r\nRCPT TO:<b@example.net> x=\r\n",
    "not a path": b"MAIL FROM:a@example.com\r\nMAIL FROM: <a@example.com>\r\nMAIL\r\nMAIL FROM:<a@@b>\r\n"
    + MAIL
    + b"RCPT TO:b\r\nRCPT TO:<>\r\n",
    "postmaster": MAIL + b"RCPT TO:<postmaster>\r\nDATA\r\n" + BODY,
    "source route": MAIL + b"RCPT TO:<@hop.example:b@example.net>\r\nDATA\r\n" + BODY,
    "quoted": b'MAIL FROM:<"a b"@example.com>\r\nRCPT TO:<"c>d"@example.net>\r\nDATA\r\n' + BODY,
    "beyond ASCII": "MAIL FROM:<\u00fc@example.com>\r\n".encode() + MAIL + "RCPT TO:<\u00fc@example.net>\r\n".encode(),
    "out of order": RCPT + b"DATA\r\n" + MAIL + MAIL + b"DATA\r\n" + RCPT + b"DATA x\r\n",
    "too many recipients": MAIL + RCPT * 7,
    "reset": MAIL + RCPT + b"RSET\r\nDATA\r\n" + SENT,
    "greeted again": MAIL + b"EHLO again.example\r\n" + RCPT + SENT,
    "HELO": b"HELO old.example\r\nMAIL FROM:<a@example.com> SIZE=1\r\n" + SENT,
    "bare line endings": MAIL + RCPT + b"DATA\r\na\nb\r\n.\r\n" + SENT,
    "too large": MAIL + RCPT + b"DATA\r\n" + b"x" * 20_000 + b"\r\n.\r\n" + SENT,
    "malformed lines": b"MAIL FROM:<a@example.com>\nMAIL FROM:<a\x00@example.com>\r\n" + SENT,
    "blanks": b"MAIL FROM:<a@example.com> \r\nRCPT TO:<b@example.net>  \r\nDATA \r\n" + BODY,
}


async def talk(way_in: Reception, octets: bytes, pieces: int) -> list[str]:
    """Send *octets* in so many pieces, say QUIT, and return every reply; the message's name in one is left out."""
    chance = random.Random(pieces)  # noqa: S311 where to cut
    cuts = sorted(chance.randrange(len(octets)) for _ in range(pieces - 1))
    replies: list[str] = []
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        for begin, stop in zip([0, *cuts], [*cuts, len(octets)], strict=True):
            await client.write(octets[begin:stop])
        await client.write(b"QUIT\r\n")
        try:
            while not (replies and replies[-1].startswith("221")):
                replies.append(re.sub(r"queued as \S+", "queued", await client.reply()))
        except UnexpectedReplyError:
            replies.append("hung up")
    return replies


async def outcome(folder: Path, octets: bytes, pieces: int) -> tuple[list[str], list[tuple[object, bytes]]]:
    """Return the replies, and the envelopes and bodies that were put."""
    async with reception(folder, config(limits=Limits(message_size=10_000, recipients=5))) as way_in:
        await talk(way_in, b"NOOP\r\n", 1)  # the first session is the pattern of those that are compared
        replies = await talk(way_in, octets, pieces)
        return replies, [(message.envelope, body) for message, body in zip(way_in.spool.messages, way_in.spool.bodies, strict=True)]


@pytest.mark.parametrize("octets", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
@pytest.mark.parametrize("pieces", [1, 7])
async def test_both_ways_say_and_do_the_same(octets: bytes, pieces: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a command is answered where it is read or by aiosmtpd cannot be told from outside."""

    async def took(_session: Session, _line: bytes) -> bool:
        return False

    usual = await outcome(tmp_path / "usual", octets, pieces)
    monkeypatch.setattr(Session, "took", took)

    assert usual == await outcome(tmp_path / "aiosmtpd", octets, pieces)
