"""What is sent by those who mean harm, a test named after each attack; those on STARTTLS, AUTH and slow readers are in their own modules."""

from __future__ import annotations

import asyncio
import re
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import Limits, Listener, ListenerAuth, ListenerTls
from smtp_gateway.content.origin import Origin
from smtp_gateway.content.received import received
from smtp_gateway.listener.body import LINE_LIMIT
from smtp_gateway.listener.connection import PENDING
from smtp_gateway.listener.data import MEMORY
from smtp_gateway.listener.lines import AUTH_LIMIT
from smtp_gateway.mail.envelope import MessageId, Peer
from smtp_gateway.spool.bodies import LARGE
from tests.support.conversation import Conversation
from tests.support.gateway import as_sent, config, reception, running, trusting
from tests.support.messages import octets
from tests.support.sink import Sink
from tests.support.waiting import eventually
from tests.support.wire import Caller, Counter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TLS = trusting()
MAIL, RCPT = b"MAIL FROM:<a@example.com>\r\n", b"RCPT TO:<b@example.net>\r\n"
EVIL = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nboo\r\n.\r\n"
FALSE_ENDS = [
    *(b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\n\n.\r\n", b"\r\n\r.\r\n"),
    *(
        b"\r\n\x00.\r\n",
        b"\r\n.\x00\r\n",
        b"\r\n .\r\n",
        b"\r\n. \r\n",
        b"\r\n.\t\r\n",
        b"\x0b.\x0b",
        b"\xe2\x80\xa8.\xe2\x80\xa8",
        b"\x85.\x85",
    ),
]
"""Everything that a server is known to have taken for the end of data (CVE-2023-51764, -51765, -51766), and what looks like it."""


def in_data(content: bytes) -> bytes:
    """Return *content* as a client sends it that does not know what it does: nothing is stuffed."""
    return b"DATA\r\n" + content + b"\r\n.\r\n"


def in_one_chunk(content: bytes) -> bytes:
    """Return *content* as one chunk."""
    return b"BDAT %d LAST\r\n%b" % (len(content), content)


def in_tiny_chunks(content: bytes) -> bytes:
    """Return *content* cut within every line end."""
    return b"".join(b"BDAT 1\r\n%c" % octet for octet in content) + b"BDAT 0 LAST\r\n"


async def accepted(said: bytes) -> Counter:
    """Say it behind a login, and QUIT; return the way in that heard it."""
    counter = Counter(config(limits=Limits(message_size=100_000)))
    caller = await Caller.authenticated(counter)
    await caller.send([said + b"RSET\r\nQUIT\r\n"])
    await caller.dismissed()
    return counter


@pytest.mark.parametrize("false_end", FALSE_ENDS)
@pytest.mark.parametrize("way", [in_data, in_one_chunk, in_tiny_chunks])
async def test_end_of_data_smuggling_inbound(false_end: bytes, way: Callable[[bytes], bytes]) -> None:
    """What follows a false end is never a message of its own; with a CR or LF that stands alone the whole is refused."""
    content = b"Subject: x\r\n\r\nhello" + false_end + EVIL.removesuffix(b"\r\n.\r\n")
    counter = await accepted(MAIL + RCPT + way(content))

    alone = bool(re.search(rb"(?<!\r)\n|\r(?!\n)", false_end))
    assert [message.envelope.sender for message in counter.recorded.messages] == ([] if alone else ["a@example.com"])
    assert ("refused", "submission", "BDAT" if b"BDAT" in way(b"") else "DATA", 550, "5.6.11") in counter.observer.events or not alone


async def test_end_of_data_smuggling_outbound(tmp_path: Path) -> None:
    """Through the whole gateway: of a message in chunks that holds an end of data and commands, the next hop gets one message and no command."""
    sent = []
    async with Sink(extensions=("PIPELINING",)) as sink, running(tmp_path, config(sink.port)) as gateway:
        for content in (b"hello\r\n.\r\n" + EVIL, b".\r\n" + EVIL, b"x" * LARGE + b"\r\n.\r\n" + EVIL):
            for size in (1, 7, len(content)) if len(content) < LARGE else (200_001,):
                async with Conversation.with_server(gateway.ports["submission"]) as client:
                    await client.authenticated(TLS)
                    await client.write(MAIL + RCPT)
                    await client.expect("250 2.1.0 *")
                    await client.expect("250 2.1.5 *")
                    for at in range(0, len(content), size):
                        part = content[at : at + size]
                        await client.write(b"BDAT %d\r\n%b" % (len(part), part))
                        await client.expect("250 2.0.0 *")
                    await client.ask("BDAT 0 LAST", "250 2.0.0 Ok: queued *")
                sent.append(content)
                await eventually(lambda: len(sink.taken) == len(sent))
                assert as_sent(sink.taken[-1].content) == content

    assert {taken.sender for taken in sink.taken} == {"a@example.com"}
    assert not any("evil" in command for command in sink.commands)


ARGUMENTS = [
    *(b"EHLO x%by", b"HELO x%by", b"MAIL FROM:<a%bb@example.com>", b"MAIL FROM:<a@exa%bmple.com>", b'MAIL FROM:<"a%bb"@example.com>'),
    *(b"MAIL FROM:<a@example.com> SIZE=1%b0", b"MAIL FROM:<a@example.com> BODY=7%bBIT", b"MAIL FROM:<a@example.com> AUTH=%b"),
    *(b"MAIL FROM:<a@example.com> RET=%bFULL", b"MAIL FROM:<a@example.com> ENVID=a%bb", b"MAIL FROM:<a@example.com>%bSMTPUTF8"),
    *(b"RCPT TO:<b%bc@example.net>", b'RCPT TO:<"b\\%bc"@example.net>', b"RCPT TO:<b@example.net> ORCPT=rfc822;b%bc"),
    *(b"RCPT TO:<b@example.net> NOTIFY=NE%bVER", b"RCPT TO:<@hop%b.example:b@example.net>", b"VRFY b%bc", b"NOOP x%by", b"HELP x%by"),
    *(b"AUTH PLAIN AGFw%bcA", b"DATA%b", b"BDAT 1%b0", b"RSET%b", b"QUIT%b", b"STARTTLS%b"),
]


@pytest.mark.parametrize("control", [b"\r", b"\n", b"\x00", b"\t", b"\x1b", b"\x7f", b"\n\r", b"\rMAIL FROM:<evil@example.com>\r"])
@pytest.mark.parametrize("argument", ARGUMENTS)
async def test_control_characters_in_every_argument(argument: bytes, control: bytes) -> None:
    """CR, LF, NUL and their like: the line is refused as such, whatever it says, and no part of it is kept or done."""
    counter = Counter()
    caller = await Caller.authenticated(counter)
    before = len(caller.wire.said)
    await caller.send([MAIL + argument % control + b"\r\n" + RCPT + b"DATA\r\nx\r\n.\r\nQUIT\r\n"])
    said = (await caller.dismissed())[before:]

    refused = said.split(b"\r\n")[1:-5]
    assert refused
    assert all(line.startswith(b"500 5.5.2 ") for line in refused)
    (message,) = counter.recorded.messages
    assert (message.envelope.sender, message.envelope.recipients, message.envelope.dsn.envid) == ("a@example.com", ("b@example.net",), "")
    assert octets(message).startswith(b"Received: from client.example ")


@pytest.mark.parametrize("encoded", ["+0D+0ABcc:+20x", "+0A", "+0D", "+00", "+0d", "+1B", "+7F", "+E2+80+A8"])
async def test_line_ends_hidden_in_envid_and_orcpt(encoded: str) -> None:
    """In xtext they would become header fields of a notice."""
    mail, rcpt = f"MAIL FROM:<a@example.com> ENVID=a{encoded}\r\n", f"RCPT TO:<b@example.net> ORCPT=rfc822;a{encoded}\r\n"
    counter = await accepted(mail.encode() + MAIL + rcpt.encode())

    assert [event[2:] for event in counter.observer.events if event[0] == "refused"] == [("MAIL", 501, "5.5.4"), ("RCPT", 501, "5.5.4")]


@pytest.mark.parametrize("name", ["x) by evil (y", "x;y", "x\u2028y", "x y", "<script>", "x\\y", '"x"', "x@y", "\u00fc", "x" * 1000])
async def test_header_injection_by_the_name_of_ehlo(name: str) -> None:
    """Whatever the client calls itself, the trace header has three lines, and its name is one word without a comment."""
    trace = received(Peer("192.0.2.1", "submission", name), Origin(MessageId("ID"), "mail.example.com", 0.0))

    assert trace.count(b"\r\n") == 3
    assert re.match(rb"Received: from [A-Za-z0-9.\-_:\[\]?]{1,255} \(\[192\.0\.2\.1\]\)\r\n\tby mail\.example\.com ", trace)


@pytest.mark.parametrize("before", [b"", b"NOOP ", b"MAIL FROM:<", b"AUTH PLAIN ", b"BDAT "])
async def test_an_endless_command_line(before: bytes) -> None:
    """Fifty megabytes without a line end take no memory, and are one refusal when they end."""
    caller = await Caller.authenticated(Counter())
    await caller.send([before])
    for _ in range(800):
        await caller.send([b"x" * 65_536])
        assert len(caller.session._inbox.octets) <= AUTH_LIMIT  # noqa: SLF001 the memory is what is asked about
    said = len(caller.wire.said)
    await caller.send([b"\r\nQUIT\r\n"])

    assert (await caller.dismissed())[said:] == b"500 5.5.2 Line too long\r\n221 2.0.0 Bye\r\n"


@pytest.mark.parametrize("begin", [b"DATA\r\n", b"BDAT 999999999999 LAST\r\n"])
async def test_an_endless_line_in_a_body(begin: bytes) -> None:
    """It is refused at a megabyte; what comes of it after that is swallowed and held nowhere."""
    counter = Counter(config(limits=Limits(message_size=10**9)))
    caller = await Caller.authenticated(counter)
    await caller.send([MAIL + RCPT + begin])
    taken = 0
    for _ in range(400):
        await caller.send([b"x" * 131_072])
        await eventually(lambda: not caller.session._inbox.octets)  # noqa: SLF001 the memory is what is asked about
        draft = caller.session._draft  # noqa: SLF001 the same
        taken = max(taken, draft.size if draft else 0)
        assert counter.intake.room.held <= LARGE + 131_072
    assert taken <= LINE_LIMIT + 2 * 131_072
    assert caller.session._draft is None  # noqa: SLF001 the same
    if begin.startswith(b"DATA"):
        await caller.send([b"\r\n.\r\nQUIT\r\n"])
        assert b"\r\n554 5.6.0 Line too long in message\r\n" in await caller.dismissed()
    caller.vanish()
    assert counter.intake.room.held == 0


async def test_a_flood_of_recipients() -> None:
    """Those beyond the limit are refused one by one, and nothing of them is kept; replies that nobody reads stop the reading."""
    counter = Counter(config(limits=Limits(recipients=100)))
    caller = await Caller.authenticated(counter)
    await caller.send([MAIL])
    for _ in range(20):
        await caller.send([RCPT * 500])
        assert len(caller.session.envelope.rcpt_tos) <= 100
        assert len(caller.session._inbox.octets) <= PENDING + len(RCPT) * 500  # noqa: SLF001 the memory is what is asked about
    await caller.send([b"DATA\r\nx\r\n.\r\nQUIT\r\n"])
    said = await caller.dismissed()

    assert (said.count(b"\r\n250 2.1.5 "), said.count(b"\r\n452 4.5.3 ")) == (100, 9_900)
    assert [message.envelope.recipients for message in counter.recorded.messages] == [("b@example.net",)]


async def test_a_flood_of_questions_about_recipients() -> None:
    """What RCPT asks is kept for those that are taken, and bounded with them."""
    counter = Counter(config(limits=Limits(recipients=10)))
    caller = await Caller.authenticated(counter)
    asking = b"".join(b"RCPT TO:<b%d@example.net> NOTIFY=NEVER ORCPT=rfc822;%b\r\n" % (n, b"x" * 480) for n in range(200))
    await caller.send([MAIL + asking + b"DATA\r\nx\r\n.\r\nQUIT\r\n"])
    await caller.dismissed()

    assert len(counter.recorded.messages[0].envelope.dsn.recipients) == 10


@pytest.mark.parametrize("said", [b"BDAT 10\r\n", b"BDAT 10\r\nx", b"BDAT 1\r\nx"])
async def test_a_slow_client_within_and_between_chunks(tmp_path: Path, said: bytes) -> None:
    """It is told why it is disconnected, and nothing of its message is left."""
    async with reception(tmp_path, patience=0.5) as way_in, Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        await client.write(MAIL + RCPT + said)
        for _ in range(3 if said.endswith(b"1\r\nx") else 2):
            await client.expect("250 *")
        await client.expect("421 4.4.2 *")
        await client.hung_up()
        await eventually(lambda: way_in.observer.open == 0)
        assert (way_in.intake.room.held, way_in.spool.messages) == (0, [])


async def test_a_message_begun_in_the_clear_does_not_go_on_under_tls(tmp_path: Path) -> None:
    """Where mail is taken in the clear, chunks from before STARTTLS are forgotten with their transaction (RFC 3207 section 4.2)."""
    relay = Listener(
        name="relay", port=25, tls=ListenerTls.OPPORTUNISTIC, auth=ListenerAuth.NONE, allowed_networks=(IPv4Network("127.0.0.0/8"),)
    )
    listening = config().model_copy(update={"listeners": (relay,)})
    async with reception(tmp_path, listening) as way_in, Conversation.with_server(way_in.listeners.ports["relay"]) as client:
        await client.write(b"EHLO evil.example\r\n" + MAIL + RCPT + b"BDAT 4\r\nevil")
        for pattern in ("220 *", "250-*", "250 2.1.0 *", "250 2.1.5 *", "250 2.0.0 4 octets received"):
            await client.expect(pattern)
        assert way_in.intake.room.held > 0
        await client.starttls(TLS, behind=b"BDAT 4 LAST\r\nevil")
        await eventually(lambda: way_in.intake.room.held == 0)
        await client.write(b"BDAT 4 LAST\r\ngood")
        await client.expect("503 5.5.1 Error: send HELO first")
        await client.write(b"EHLO client.example\r\n" + MAIL + RCPT + b"BDAT 4 LAST\r\ngood")
        for pattern in ("250-*", "250 2.1.0 *", "250 2.1.5 *", "250 2.0.0 Ok: queued *"):
            await client.expect(pattern)

    assert way_in.spool.bodies == [b"good\r\n.\r\n"]


async def test_chunks_that_are_swallowed_for_ever() -> None:
    """Whoever may not send keeps no session with chunks that nobody wants: they are no progress."""
    caller = Caller(Counter())
    await caller.send([b"EHLO a\r\nBDAT 999999999 LAST\r\n"])
    await asyncio.sleep(0)
    heard = caller.session._heard  # noqa: SLF001 what a time-out is counted from
    for _ in range(100):
        await caller.send([b"x" * 65_536])

    assert caller.session._heard <= heard + 1  # noqa: SLF001 the same
    assert len(caller.session._inbox.octets) < MEMORY  # noqa: SLF001 the memory is what is asked about
    caller.vanish()
