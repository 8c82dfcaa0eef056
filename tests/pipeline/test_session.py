from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from smtp_gateway.listener.lines import COMMAND_LIMIT
from smtp_gateway.spool.api import SpoolFullError
from tests.support.conversation import Conversation
from tests.support.gateway import HOSTNAME, Reception, trusting
from tests.support.messages import octets
from tests.support.waiting import eventually

TLS = trusting()


async def test_ehlo_announces_what_is_there(way_in: Reception) -> None:
    """STARTTLS before TLS and AUTH after it; the size limit, and nothing that is not done."""
    async with Conversation.with_server(way_in.port) as client:
        await client.expect(f"220 {HOSTNAME} ESMTP")
        clear = await client.ask("EHLO client.example")
        await client.starttls(TLS)
        encrypted = await client.ask("EHLO client.example")

    ours = {"PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN", "LIMITS RCPTMAX=5"}
    common = ours | {HOSTNAME, "SIZE 10000", "8BITMIME", "SMTPUTF8", "HELP"}
    assert {line[4:] for line in clear.split("\n")} == common | {"STARTTLS"}
    assert {line[4:] for line in encrypted.split("\n")} == common | {"AUTH LOGIN PLAIN", "REQUIRETLS"}


@pytest.mark.parametrize(
    "body",
    [
        b".\r\n",
        b"\r\n.\r\n",
        b"Subject: x\r\n\r\nhello\r\n.\r\n",
        b"..\r\n..dots\r\n...\r\n.\r\n",
        b"8-bit: \xff\x00\xe4\r\n.\r\n",
        b"x" * 5000 + b"\r\n.\r\n",
    ],
)
async def test_a_body_is_kept_octet_for_octet(way_in: Reception, client: Conversation, body: bytes) -> None:
    """In wire form, behind three lines of trace."""
    await client.send(body)

    assert way_in.spool.bodies == [body]
    assert octets(way_in.spool.messages[0]).startswith(
        b"Received: from client.example ([127.0.0.1])\r\n\tby mail.example.com with ESMTPSA id "
    )


async def test_a_body_in_single_octets_is_the_same(way_in: Reception, client: Conversation) -> None:
    """Segments of the network leave no trace."""
    await client.ask("MAIL FROM:<>")
    await client.ask("RCPT TO:<b@example.net>")
    await client.ask("DATA", "354 *")
    for octet in b"a\r\n..\r\n.\r\n":
        await client.write(bytes([octet]))
        await asyncio.sleep(0)
    await client.expect("250 2.0.0 *")

    assert way_in.spool.bodies == [b"a\r\n..\r\n.\r\n"]
    assert way_in.spool.messages[0].envelope.sender == ""


async def test_the_envelope_is_kept(way_in: Reception, client: Conversation) -> None:
    """Addresses as given, parameters that delivery needs, Postmaster with a domain (RFC 5321 section 4.5.1)."""
    await client.ask("MAIL FROM:<ü@example.com> BODY=8BITMIME SMTPUTF8 SIZE=100 AUTH=<>", "250 2.1.0 *")
    await client.ask('rcpt to:<"two words"@Example.net>', "250 2.1.5 *")
    await client.ask("RCPT TO: <Postmaster>", "250 2.1.5 *")
    await client.ask("DATA", "354 *")
    await client.write(b"x\r\n.\r\n")
    await client.expect("250 2.0.0 *")

    envelope = way_in.spool.messages[0].envelope
    assert envelope.sender == "ü@example.com"
    assert envelope.recipients == ('"two words"@Example.net', f"Postmaster@{HOSTNAME}")
    assert (envelope.smtputf8, envelope.body_8bit) == (True, True)
    assert b" with UTF8SMTPSA id " in octets(way_in.spool.messages[0])


async def test_two_messages_in_one_session(way_in: Reception, client: Conversation) -> None:
    """Nothing of the first is in the second."""
    await client.send(b"one\r\n.\r\n", sender="one@example.com")
    await client.ask("MAIL FROM:<never@example.com>")
    await client.ask("RSET", "250 2.0.0 *")
    await client.ask("DATA", "503 5.5.1 *")
    await client.send(b"two\r\n.\r\n", sender="two@example.com")

    assert [message.envelope.sender for message in way_in.spool.messages] == ["one@example.com", "two@example.com"]
    assert way_in.spool.bodies == [b"one\r\n.\r\n", b"two\r\n.\r\n"]


async def test_pipelined_commands_are_answered_in_order(way_in: Reception, client: Conversation) -> None:
    """A whole group in one write, and a body with the next transaction behind it (RFC 2920 section 3.1)."""
    await client.write(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<bad\r\nRCPT TO:<c@example.net>\r\nDATA\r\n")
    for pattern in ("250 2.1.0 *", "250 2.1.5 *", "553 5.1.3 *", "250 2.1.5 *", "354 *"):
        await client.expect(pattern)
    await client.write(b"x\r\n.\r\nMAIL FROM:<d@example.com>\r\nRCPT TO:<e@example.net>\r\nDATA\r\ny\r\n.\r\nQUIT\r\n")
    for pattern in ("250 2.0.0 *", "250 2.1.0 *", "250 2.1.5 *", "354 *", "250 2.0.0 *", "221 2.0.0 *"):
        await client.expect(pattern)
    await client.hung_up()

    assert [message.envelope.recipients for message in way_in.spool.messages] == [("b@example.net", "c@example.net"), ("e@example.net",)]
    assert way_in.spool.bodies == [b"x\r\n.\r\n", b"y\r\n.\r\n"]


async def test_commands_before_a_half_close_are_answered(way_in: Reception) -> None:
    """A client that sends all and shuts its side down gets its replies."""
    async with Conversation.with_server(way_in.port) as client:
        await client.write(b"EHLO client.example\r\nNOOP\r\nVRFY a@example.com\r\n")
        client.finish_writing()
        for pattern in ("220 *", "250-*", "250 2.0.0 *", "252 2.0.0 *"):
            await client.expect(pattern)
        await client.hung_up()
    await eventually(lambda: way_in.observer.open == 0)


SMUGGLING = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\r\n.\r\r\n"]


@pytest.mark.parametrize("false_end", SMUGGLING)
async def test_smuggled_commands_stay_content_and_are_refused(way_in: Reception, client: Conversation, false_end: bytes) -> None:
    """One reply for one body: what follows a false end is never a command."""
    await client.send(
        b"a" + false_end + b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nboo\r\n.\r\n",
        "550 5.6.11 *",
    )
    await client.ask("NOOP", "250 2.0.0 *")

    assert way_in.spool.messages == []


async def test_an_oversize_body_is_swallowed_and_refused(way_in: Reception, client: Conversation) -> None:
    """The session goes on behind it, and the memory is free again."""
    await client.send(b"x" * 998 * 40 + b"\r\n.\r\n", "552 5.3.4 *")
    await client.send(b"small\r\n.\r\n")

    assert way_in.spool.bodies == [b"small\r\n.\r\n"]
    assert way_in.intake.room.held == 0


async def test_a_size_that_is_announced_too_large_is_refused_at_mail(client: Conversation) -> None:
    """Nothing is uploaded (RFC 1870 section 6.1); exactly the limit is welcome."""
    await client.ask("MAIL FROM:<a@example.com> SIZE=10001", "552 5.3.4 *")
    await client.ask("MAIL FROM:<a@example.com> SIZE=10000", "250 2.1.0 *")


async def test_recipients_beyond_the_limit_come_later(way_in: Reception, client: Conversation) -> None:
    """The first ones are served, the others are told to come in another transaction."""
    await client.ask("MAIL FROM:<a@example.com>")
    for number in range(5):
        await client.ask(f"RCPT TO:<r{number}@example.net>", "250 2.1.5 *")
    for number in range(5, 50):
        await client.ask(f"RCPT TO:<r{number}@example.net>", "452 4.5.3 *")
    await client.ask("DATA", "354 *")
    await client.write(b"x\r\n.\r\n")
    await client.expect("250 2.0.0 *")

    assert len(way_in.spool.messages[0].envelope.recipients) == 5


async def test_a_spool_that_is_full_leaves_the_message_with_the_client(way_in: Reception, client: Conversation) -> None:
    """452 for one message; the next one may fit."""
    way_in.spool.fault = SpoolFullError("no space left")
    await client.send(b"x\r\n.\r\n", "452 4.3.1 *")
    way_in.spool.fault = None
    await client.send(b"x\r\n.\r\n")


async def test_an_ill_spool_declines_at_mail(way_in: Reception, client: Conversation) -> None:
    """No client uploads in vain."""
    way_in.spool.ill = "read-only"
    await client.ask("MAIL FROM:<a@example.com>", "451 4.3.0 *")


async def test_an_unexpected_exception_tells_the_client_nothing(
    way_in: Reception, client: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """451 4.3.0 outside, the whole cause in the log, and the session goes on."""

    def broken() -> None:
        message = "a mistake of ours"
        raise RuntimeError(message)

    monkeypatch.setattr(way_in.intake, "unwilling", broken)
    with capture_logs() as logs:
        await client.ask("MAIL FROM:<a@example.com>", "451 4.3.0 Local error, try again later")
    monkeypatch.undo()
    await client.send(b"x\r\n.\r\n")

    (line,) = [line for line in logs if line["event"] == "session failed"]
    assert line["command"] == "MAIL"
    assert "a mistake of ours" in repr(line["exc_info"])


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        (b"NOOP\n", "500 5.5.2 *"),
        (b"MAIL FROM:<a@example.com>\rRCPT TO:<b@example.net>\r\n", "500 5.5.2 *"),
        (b"MAIL FROM:<a\x00@example.com>\r\n", "500 5.5.2 *"),
        (b"EHLO x\x00y\r\n", "500 5.5.2 *"),
        (b"EHLO \x1b[31m\r\n", "500 5.5.2 *"),
        (b"\r\n", "500 5.5.2 *"),
        (b"\xff\xfe\r\n", "500 5.5.2 *"),
        (b"FLY\r\n", "500 5.5.2 *"),
        (b"NOOP " + b"x" * COMMAND_LIMIT + b"\r\n", "500 5.5.2 *"),
        (b"NOOP " + b"x" * 200_000 + b"\r\n", "500 5.5.2 *"),
        (b"MAIL\r\n", "501 5.5.4 *"),
        (b"MAIL TO:<a@example.com>\r\n", "501 5.5.4 *"),
        (b"MAIL FROM:a@example.com\r\n", "553 5.1.3 *"),
        (b"MAIL FROM:<a@@example.com>\r\n", "553 5.1.3 *"),
        (b"MAIL FROM:<postmaster>\r\n", "553 5.1.3 *"),
        (b"MAIL FROM:<\xff@example.com>\r\n", "553 5.1.3 *"),
        ("MAIL FROM:<ü@example.com>\r\n".encode(), "553 5.6.7 *"),
        (b"MAIL FROM:<a@example.com> FLY=1\r\n", "555 5.5.4 *"),
        (b"MAIL FROM:<a@example.com> SIZE=x\r\n", "501 5.5.4 *"),
        (b"MAIL FROM:<a@example.com> SIZE=1 SIZE=2\r\n", "501 5.5.4 *"),
        (b"MAIL FROM:<a@example.com> BODY=BINARYMIME\r\n", "501 5.5.4 *"),
        (b"RCPT TO:<b@example.net>\r\n", "503 5.5.1 *"),
        (b"DATA\r\n", "503 5.5.1 *"),
        (b"STARTTLS\r\n", "503 5.5.1 *"),
        (b"AUTH PLAIN\r\n", "503 5.5.1 *"),
        (b"EXPN staff\r\n", "502 5.5.1 *"),
        (b"VRFY a@example.com\r\n", "252 2.0.0 *"),
        (b"HELP\r\n", "214 2.0.0 *"),
        (b"NOOP anything\r\n", "250 2.0.0 *"),
    ],
)
async def test_every_other_line_has_its_answer(client: Conversation, command: bytes, pattern: str) -> None:
    """One reply to one line, with an enhanced code, and the session goes on."""
    await client.write(command)
    await client.expect(pattern)
    await client.ask("NOOP", "250 2.0.0 *")


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        (b"RCPT TO:<>\r\n", "553 5.1.3 *"),
        ("RCPT TO:<ü@example.net>\r\n".encode(), "553 5.6.7 *"),
        (b"RCPT TO:<b@example.net> RET=HDRS\r\n", "555 5.5.4 *"),
        (b"RCPT TO:<b@example.net> AUTH=<>\r\n", "555 5.5.4 *"),
        (b"RCPT FROM:<b@example.net>\r\n", "501 5.5.4 *"),
        (b"MAIL FROM:<a@example.com>\r\n", "503 5.5.1 *"),
        (b"DATA now\r\n", "501 5.5.4 *"),
    ],
)
async def test_refusals_inside_a_transaction(client: Conversation, command: bytes, pattern: str) -> None:
    """They leave the transaction as it was."""
    await client.ask("MAIL FROM:<a@example.com>")
    await client.write(command)
    await client.expect(pattern)
    await client.ask("RCPT TO:<b@example.net>", "250 2.1.5 *")


async def test_a_client_that_speaks_another_protocol_is_sent_away(way_in: Reception) -> None:
    """A browser that is made to send to this port gets nowhere (cross-protocol request)."""
    async with Conversation.with_server(way_in.port) as client:
        await client.expect("220 *")
        await client.write(b"POST / HTTP/1.1\r\n" + b"".join(f"Header-{n}: x\r\n".encode() for n in range(20)))
        for _ in range(4):
            await client.expect("500 5.5.2 *")
        await client.expect("502 5.5.1 *")
        await client.hung_up()


async def test_endless_faults_end_the_session(way_in: Reception) -> None:
    """Whoever ends lines with LF alone is not answered for ever."""
    async with Conversation.with_server(way_in.port) as client:
        await client.expect("220 *")
        await client.write(b"NOOP\n" * 50)
        for _ in range(9):
            await client.expect("500 5.5.2 *")
        await client.expect("421 4.7.0 *")
        await client.hung_up()
