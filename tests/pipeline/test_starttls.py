from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.support.conversation import Conversation, plain
from tests.support.gateway import Reception, reception, trusting
from tests.support.messages import octets
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TLS = trusting()


@pytest.fixture
async def way_in(tmp_path: Path) -> AsyncIterator[Reception]:
    """The way in."""
    async with reception(tmp_path) as opened:
        yield opened


async def test_nothing_of_worth_is_done_in_the_clear(way_in: Reception) -> None:
    """AUTH is answered 538 and mail 530; the password that follows a refused AUTH is not logged."""
    async with Conversation.with_server(way_in.port) as client:
        await client.expect("220 *")
        await client.ask("EHLO client.example")
        with capture_logs() as logs:
            await client.ask(f"AUTH PLAIN {plain('app', 'secret')}", "538 5.7.11 *")
            await client.ask("AUTH LOGIN", "538 5.7.11 *")
            await client.ask("c2VjcmV0", "500 5.5.2 *")
        await client.ask("MAIL FROM:<a@example.com>", "530 5.7.0 Must issue a STARTTLS command first")
        await client.ask("RCPT TO:<a@example.com>", "530 5.7.0 *")
        await client.ask("DATA", "530 5.7.0 *")

    assert logs == []


async def test_what_was_said_in_the_clear_is_forgotten(way_in: Reception) -> None:
    """After the handshake the client has not greeted (RFC 3207 section 4.2)."""
    async with Conversation.with_server(way_in.port) as client:
        await client.expect("220 *")
        await client.ask("EHLO evil.example")
        await client.starttls(TLS)
        await client.ask(f"AUTH PLAIN {plain('app', 'secret')}", "503 5.5.1 *")
        await client.ask("EHLO client.example")
        await client.ask(f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *")
        await client.send(b"x\r\n.\r\n")

    assert b"from client.example" in octets(way_in.spool.messages[0])


@pytest.mark.parametrize("injected", [b"NOOP\r\n", b"EHLO evil\r\nMAIL FROM:<evil@example.com>\r\n", b"x" * 70_000, b"RSET"])
async def test_commands_injected_behind_starttls_are_dropped(way_in: Reception, injected: bytes) -> None:
    """What a man in the middle sends in the clear with STARTTLS is never answered under TLS (CVE-2011-0411)."""
    async with Conversation.with_server(way_in.port) as client:
        await client.expect("220 *")
        await client.ask("EHLO client.example")
        if len(injected) > 60_000:
            # Too much for one read: the rest reaches the handshake, which cannot succeed then.
            with pytest.raises((OSError, ssl.SSLError)):
                await client.starttls(TLS, behind=injected)
            return
        await client.starttls(TLS, behind=injected)
        await client.ask("HELP", "214 *")
        await client.ask("MAIL FROM:<a@example.com>", "503 5.5.1 *")


async def test_starttls_takes_no_argument_and_is_done_once(way_in: Reception) -> None:
    """501 and 503 (RFC 3207 section 4)."""
    async with Conversation.with_server(way_in.port) as client:
        await client.expect("220 *")
        await client.ask("STARTTLS now", "501 5.5.4 *")
        await client.ask("EHLO client.example")
        await client.starttls(TLS)
        await client.ask("EHLO client.example")
        await client.ask("STARTTLS", "503 5.5.1 *")


async def test_a_failed_handshake_ends_the_session_and_nothing_else(way_in: Reception) -> None:
    """One line at level info; no session is left behind and others are served."""
    async with Conversation.with_server(way_in.port) as client:
        await client.expect("220 *")
        await client.ask("EHLO client.example")
        with capture_logs() as logs:
            await client.ask("STARTTLS", "220 *")
            await client.write(b"this is not TLS\r\n")
            await eventually(lambda: way_in.observer.open == 0)
    async with Conversation.with_server(way_in.port) as other:
        await other.authenticated(TLS)

    assert [(line["event"], line["log_level"]) for line in logs] == [("TLS handshake failed", "info")]


async def test_a_client_that_leaves_during_the_handshake_leaves_no_session(way_in: Reception) -> None:
    """As port scanners do."""
    async with Conversation.with_server(way_in.port) as client:
        await client.expect("220 *")
        await client.ask("STARTTLS", "220 *")
        client.vanish()
        await eventually(lambda: way_in.observer.open == 0)


async def test_commands_in_the_first_flight_after_the_handshake_are_answered(way_in: Reception) -> None:
    """A client need not wait between the end of its handshake and EHLO."""
    for _ in range(10):
        async with Conversation.with_server(way_in.port) as client:
            await client.expect("220 *")
            await client.starttls(TLS)
            await client.write(b"EHLO client.example\r\nNOOP\r\n")
            await client.expect("250-*")
            await client.expect("250 2.0.0 *")


async def test_implicit_tls_needs_no_starttls(way_in: Reception) -> None:
    """The listener of RFC 8314 is encrypted from the first octet, and announces AUTH at once."""
    async with Conversation.with_server(way_in.listeners.ports["submissions"], TLS) as client:
        await client.expect("220 *")
        announced = await client.ask("EHLO client.example")
        assert "AUTH LOGIN PLAIN" in announced
        assert "STARTTLS" not in announced
        await client.ask("STARTTLS", "503 5.5.1 *")
        await client.ask(f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *")
        await client.send(b"x\r\n.\r\n")
        await client.ask("QUIT", "221 *")
        await client.hung_up()

    assert b" with ESMTPSA id " in octets(way_in.spool.messages[0])


async def test_tls_before_1_2_is_refused(way_in: Reception) -> None:
    """RFC 8996; and both versions that are left work, and are counted."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        only = trusting()
        only.minimum_version = only.maximum_version = version
        async with Conversation.with_server(way_in.port) as client:
            await client.authenticated(only)
        async with Conversation.with_server(way_in.listeners.ports["submissions"], only) as client:
            await client.expect("220 *")

    old = trusting()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        await asyncio.open_connection("127.0.0.1", way_in.listeners.ports["submissions"], ssl=old, server_hostname="localhost")
    counted = [event[1:] for event in way_in.observer.events if event[0] == "shook hands"]
    assert counted == [(listener, version) for version in ("TLSv1.2", "TLSv1.3") for listener in ("submission", "submissions")]


async def test_many_sessions_under_tls_at_once(way_in: Reception) -> None:
    """Sessions do not share state: each message arrives from its own sender."""

    async def one(number: int) -> None:
        async with Conversation.with_server(way_in.port) as client:
            await client.authenticated(TLS)
            await client.send(f"{number}\r\n.\r\n".encode(), sender=f"s{number}@example.com")
            await client.ask("QUIT", "221 *")

    await asyncio.gather(*(one(number) for number in range(30)))

    seen = {message.envelope.sender: body for message, body in zip(way_in.spool.messages, way_in.spool.bodies, strict=True)}
    assert seen == {f"s{number}@example.com": f"{number}\r\n.\r\n".encode() for number in range(30)}
