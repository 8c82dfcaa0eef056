from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import Config, Limits, Senders
from smtp_gateway.listener import usual
from smtp_gateway.spool.bodies import LARGE
from tests.support.conversation import Conversation
from tests.support.gateway import Reception, config, login, reception, trusting
from tests.support.wire import AUTHENTICATED, Caller, Counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TLS = trusting()
SENDER = "550 5.7.1 Sender address is not allowed for this login"
AUTHOR = "550 5.7.1 From or Sender header has an address that is not allowed for this login"
UNCLEAR = "550 5.7.1 Message needs one From header that can be read to be sent with this login"
END = b"\r\n.\r\n"


def ruled(*allowed: str) -> Config:
    """Return a configuration with a rule for one of two logins."""
    other = login("free", "secret", "free-logins")
    base = config(logins=(login(), other), limits=Limits(message_size=4 * LARGE))
    return base.model_copy(update={"senders": (Senders(identity="app-logins", allowed=allowed),)})


@pytest.fixture
async def way_in(tmp_path: Path) -> AsyncIterator[Reception]:
    """The way in, with a rule."""
    async with reception(tmp_path, ruled("billing@example.com", "*@shop.example", "*@*.corp.example")) as opened:
        yield opened


@pytest.mark.parametrize("usually", [True, False], ids=["as usual", "the slow way"])
@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("billing@example.com", "250 2.1.0 *"),
        ("Billing@EXAMPLE.com", "250 2.1.0 *"),
        ("x@shop.example", "250 2.1.0 *"),
        ("x@a.b.corp.example", "250 2.1.0 *"),
        ("", "250 2.1.0 *"),
        ("x@example.com", SENDER),
        ("x@corp.example", SENDER),
        ('"billing@example.com"@evil.example', SENDER),
    ],
)
async def test_the_sender_of_a_transaction_must_be_allowed(
    way_in: Reception, monkeypatch: pytest.MonkeyPatch, path: str, pattern: str, *, usually: bool
) -> None:
    """At MAIL, however the command is answered; the session goes on."""
    if not usually:
        monkeypatch.setattr(usual, "command", lambda _octets, _position: None)
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        await client.ask(f"MAIL FROM:<{path}>", pattern)
        await client.ask("RSET")
        await client.send(b"From: billing@example.com" + END, sender="billing@example.com")


@pytest.mark.parametrize(
    ("header", "pattern"),
    [
        (b"From: Billing <billing@example.com>\r\n\r\nhello", "250 *"),
        (b"From: a@shop.example, b@a.corp.example\r\nSender: billing@example.com\r\n\r\n", "250 *"),
        (b"From: boss@example.com\r\n\r\n", AUTHOR),
        (b"From: a@shop.example, boss@example.com\r\n\r\n", AUTHOR),
        (b"From: boss@example.com\r\nSender: billing@example.com\r\n\r\n", AUTHOR),
        (b"From: billing@example.com\r\nSender: boss@example.com\r\n\r\n", AUTHOR),
        (b"From: billing@example.com\r\nFrom: boss@example.com\r\n\r\n", UNCLEAR),
        (b"From: billing@example.com <boss@example.com\r\n\r\n", UNCLEAR),
        (b"Subject: x\r\n\r\nFrom: billing@example.com", UNCLEAR),
        (b"", UNCLEAR),
    ],
)
async def test_the_authors_of_a_message_must_be_allowed(way_in: Reception, header: bytes, pattern: str) -> None:
    """All of From and Sender, whatever the envelope says; what cannot be read is refused, and nothing of it is kept."""
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        await client.send(header + END, pattern, sender="billing@example.com")
        await client.send(header + END, pattern, sender="")
        await client.send(b"From: billing@example.com" + END, sender="billing@example.com")

    assert len(way_in.spool.messages) == (3 if pattern == "250 *" else 1)


@pytest.mark.parametrize(("author", "pattern"), [(b"billing@example.com", "250 *"), (b"boss@example.com", AUTHOR)])
async def test_large_messages_are_judged_by_their_beginning(way_in: Reception, author: bytes, pattern: str) -> None:
    """A body that goes to the disk while it arrives is swallowed to its end when its author is refused."""
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        await client.send(b"From: " + author + b"\r\n\r\n" + b"x" * 70 + b"\r\n" + b"y" * (2 * LARGE) + END, pattern, "billing@example.com")
        await client.send(b"From: billing@example.com" + END, sender="billing@example.com")


@pytest.mark.parametrize(("author", "pattern"), [(b"billing@example.com", "250 2.0.0 Ok: queued as *"), (b"boss@example.com", AUTHOR)])
async def test_messages_in_chunks_are_judged_alike(way_in: Reception, author: bytes, pattern: str) -> None:
    """By BDAT, with the author's field cut in two."""
    octets = b"From: " + author + b"\r\n\r\nhello\r\n"
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        await client.ask("MAIL FROM:<billing@example.com>")
        await client.ask("RCPT TO:<b@example.net>")
        await client.write(b"BDAT 9\r\n" + octets[:9])
        await client.expect("250 *")
        await client.write(b"BDAT %d LAST\r\n" % (len(octets) - 9) + octets[9:])
        await client.expect(pattern)
        await client.send(b"From: billing@example.com" + END, sender="billing@example.com")


async def test_an_author_behind_a_dot_that_was_not_stuffed_is_not_clear(way_in: Reception) -> None:
    """The next server takes the dot away, and recipients see a second From; in chunks, and doubled, the dot is the field's own."""
    hidden, stuffed = (dots + b"From: boss@example.com\r\nFrom: billing@example.com\r\n\r\nhello" for dots in (b".", b".."))
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        await client.send(hidden + END, UNCLEAR, "billing@example.com")
        await client.send(stuffed + END, sender="billing@example.com")
        await client.ask("MAIL FROM:<billing@example.com>")
        await client.ask("RCPT TO:<b@example.net>")
        await client.write(b"BDAT %d LAST\r\n" % len(hidden) + hidden)
        await client.expect("250 2.0.0 Ok: queued as *")


async def test_a_header_that_has_no_end_in_sight_is_not_clear(way_in: Reception) -> None:
    """An author may hide behind a quarter of a megabyte of header: it is not looked for."""
    filler = b"X-Filler: " + b"x" * 900 + b"\r\n"
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        head = b"From: billing@example.com\r\n" + filler * (2 * LARGE // len(filler))
        await client.send(head + b"From: boss@example.com\r\n" + END, UNCLEAR, "billing@example.com")


async def test_logins_without_a_rule_may_be_anybody(way_in: Reception) -> None:
    """Nobody looks at what they send."""
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS, "free")
        await client.send(b"From: boss@example.com\r\nFrom: <<" + END, sender="anybody@anywhere.example")


async def test_a_changed_rule_is_in_force_for_the_next_transaction(way_in: Reception) -> None:
    """For sessions that are open too, and for a message whose transaction had begun."""
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        await client.ask("MAIL FROM:<billing@example.com>")
        await client.ask("RCPT TO:<b@example.net>")
        way_in.intake.reconfigure(ruled("*@other.example"))
        await client.ask("DATA", "354 *")
        await client.write(b"From: billing@example.com" + END)
        await client.expect(AUTHOR)
        await client.ask("MAIL FROM:<billing@example.com>", SENDER)
        way_in.intake.reconfigure(config())
        await client.send(b"x" + END, sender="billing@example.com")


CONVERSATIONS = [
    f"MAIL FROM:<{sender}>{parameters}\r\nRCPT TO:<b@example.net>\r\nDATA\r\nFrom: {author}\r\n\r\n.\r\n".encode()
    for sender in ("a@example.com", "A@Example.COM", "", "x@evil.example", '"a"@example.com', "postmaster", "a@[192.0.2.1]")
    for parameters in ("", " SIZE=10", " SIZE=1 SIZE=1")
    for author in ("a@example.com", "x@evil.example")
]


@pytest.mark.parametrize("rule", ["a@example.com", "*@example.com", "*@*.com"])
async def test_both_ways_judge_alike(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """Commands that are answered where they are read and by aiosmtpd's methods get the same replies, and the same mail is put."""

    async def outcome(octets: bytes) -> tuple[bytes, int]:
        counter = Counter(ruled(rule))
        caller = Caller(counter)
        await caller.send([AUTHENTICATED + octets + b"\r\n.\r\nQUIT\r\n"])
        return await caller.dismissed(), len(counter.recorded.messages)

    put = 0
    for octets in CONVERSATIONS:
        usually = await outcome(octets)
        with monkeypatch.context() as without:
            without.setattr(usual, "command", lambda _octets, _position: None)
            assert await outcome(octets) == usually
        put += usually[1]
    assert 0 < put < len(CONVERSATIONS)
