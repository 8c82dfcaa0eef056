"""What a client is told of the limits, and what it asks to be told: LIMITS (RFC 9422) and DSN (RFC 3461)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import Limits
from smtp_gateway.mail.dsn import NO_DSN, Asked, Dsn
from tests.support.gateway import Reception, config

if TYPE_CHECKING:
    from tests.support.conversation import Conversation


async def test_what_a_client_asks_to_be_told_is_kept(way_in: Reception, client: Conversation) -> None:
    """Case included (RFC 3461 section 4), for the recipients that were taken; the next message asks for nothing."""
    await client.ask("MAIL FROM:<a@example.com> ret=hdrs ENVID=Qq+2B1 SIZE=100", "250 2.1.0 *")
    await client.ask("RCPT TO:<b@example.net>", "250 2.1.5 *")
    await client.ask("RCPT TO:<C@Example.net> NOTIFY=delay,failure ORCPT=rfc822;Bob@Example.org", "250 2.1.5 *")
    await client.ask("RCPT TO:<c@> NOTIFY=NEVER", "553 *")
    await client.ask("RCPT TO:<C@Example.net> NOTIFY=NEVER", "250 2.1.5 *")
    await client.ask("DATA", "354 *")
    await client.write(b"x\r\n.\r\n")
    await client.expect("250 2.0.0 *")
    await client.send(b"two\r\n.\r\n")

    first, second = (message.envelope for message in way_in.spool.messages)
    assert first.dsn == Dsn("HDRS", "Qq+2B1", {"C@Example.net": Asked("FAILURE,DELAY", "rfc822;Bob@Example.org")})
    assert second.dsn is NO_DSN


async def test_what_was_asked_is_forgotten_with_its_transaction(way_in: Reception, client: Conversation) -> None:
    """By RSET and by EHLO, and of a MAIL that was refused nothing stays."""
    for between in ("RSET", "EHLO again.example"):
        await client.ask("MAIL FROM:<a@example.com> RET=FULL", "250 2.1.0 *")
        await client.ask("RCPT TO:<b@example.net> NOTIFY=NEVER", "250 2.1.5 *")
        await client.ask(between)
    await client.ask("MAIL FROM:<a@example.com> RET=FULL FLY=1", "555 *")
    await client.send(b"x\r\n.\r\n")

    assert way_in.spool.messages[0].envelope.dsn is NO_DSN


async def test_the_limit_of_recipients_is_the_one_in_force(way_in: Reception, client: Conversation) -> None:
    """What LIMITS announces (RFC 9422) is what a client may use, after a change of the configuration as well."""
    way_in.intake.reconfigure(config(limits=Limits(recipients=2)))
    assert "250-LIMITS RCPTMAX=2" in (await client.ask("EHLO client.example")).split("\n")
    await client.ask("MAIL FROM:<a@example.com>")
    for pattern in ("250 2.1.5 *", "250 2.1.5 *", "452 4.5.3 *"):
        await client.ask("RCPT TO:<b@example.net>", pattern)


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        ("MAIL FROM:<a@example.com> RET=SOME", "501 5.5.4 RET must be FULL or HDRS"),
        ("MAIL FROM:<a@example.com> ENVID=a+00", "501 5.5.4 ENVID must be *"),
        ("MAIL FROM:<a@example.com> RET=FULL RET=FULL", "501 5.5.4 Syntax: *"),
        ("MAIL FROM:<a@example.com> NOTIFY=NEVER", "555 5.5.4 *"),
        ("RCPT TO:<b@example.net> NOTIFY=NEVER,FAILURE", "501 5.5.4 NOTIFY must be *"),
        ("RCPT TO:<b@example.net> ORCPT=rfc822;a+0D+0Ab", "501 5.5.4 ORCPT must be *"),
        ("RCPT TO:<b@example.net> ENVID=a", "555 5.5.4 *"),
    ],
)
async def test_what_cannot_be_asked_is_refused_in_a_sentence(client: Conversation, command: str, pattern: str) -> None:
    """It says which parameter is wrong and what it may be, and the transaction is as it was."""
    if command.startswith("RCPT"):
        await client.ask("MAIL FROM:<a@example.com>")
    await client.ask(command, pattern)
    if command.startswith("MAIL"):
        await client.ask("MAIL FROM:<a@example.com>", "250 2.1.0 *")
    await client.ask("RCPT TO:<b@example.net>", "250 2.1.5 *")
