"""Ceilings and time-outs at the door: told with a reason, counted, logged once, and over when somebody goes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.config.model import Limits
from smtp_gateway.listener import entrance, gate, server
from smtp_gateway.listener.server import listening_socket
from smtp_gateway.listener.timeouts import Timeouts
from tests.pipeline.test_proxy_header import HERE, behind
from tests.support.conversation import PATIENCE, Conversation
from tests.support.gateway import config, reception, trusting
from tests.support.messages import octets
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.gateway import Reception

TLS = trusting()
FULL = "421 4.3.2 Too many connections, try again later"
OFTEN = "421 4.7.0 Too many connections from your network, try again later"
PATIENT = Timeouts(*[60.0] * 6)


def few(connections: int, each: int | None = None) -> Limits:
    """Return limits with so many connections, and so many of *each* client."""
    return Limits(connections=connections, connections_per_client=each)


async def connected(stack: AsyncExitStack, port: int, header: str = "", *, tls: bool = False) -> tuple[Conversation, str]:
    """Connect, say *header*, and return the client with the first thing that it is told."""
    client = await stack.enter_async_context(Conversation.with_server(port, TLS if tls else None))
    await client.write(header.encode())
    return client, await client.reply()


async def test_a_full_gateway_says_so(tmp_path: Path) -> None:
    """With a reason, counted each time, logged once; who goes makes room, and a refused client takes none."""
    async with reception(tmp_path, config(limits=few(2))) as way_in, AsyncExitStack() as stack:
        with capture_logs() as logs:
            first, greeting = await connected(stack, way_in.port)
            assert greeting.startswith("220 ")
            await connected(stack, way_in.port)
            for _ in range(3):
                client, said = await connected(stack, way_in.port)
                assert said == FULL
                await client.hung_up()
            assert way_in.observer.events.count(("turned away", "submission", "connections")) == 3
            assert way_in.observer.open == 2
        assert [(line["event"], line["reason"], line["peer"]) for line in logs] == [("connection refused", "connections", "127.0.0.1")]
        await first.ask("QUIT", "221 *")
        await first.hung_up()
        await eventually(lambda: len(way_in.listeners.admission.ceilings) == 1)
        await eventually(lambda: way_in.listeners.admission.telling == 0)
        _, greeting = await connected(stack, way_in.port)
        assert greeting.startswith("220 ")


async def test_what_was_not_logged_is_told_with_the_next_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each listener and reason until its time is over."""
    async with reception(tmp_path, config(limits=few(1))) as way_in, AsyncExitStack() as stack:
        await connected(stack, way_in.port)
        with capture_logs() as logs:
            for _ in range(3):
                await connected(stack, way_in.port)
            monkeypatch.setattr(entrance, "QUIET", 0.0)
            await connected(stack, way_in.port)
        assert [line["unlogged"] for line in logs] == [0, 2]


async def test_under_implicit_tls_it_is_said_after_the_handshake(tmp_path: Path) -> None:
    """In words, as on any other listener, and whoever was told is gone."""
    async with reception(tmp_path, config(limits=few(1))) as way_in, AsyncExitStack() as stack:
        port = way_in.listeners.ports["submissions"]
        _, greeting = await connected(stack, port, tls=True)
        assert greeting.startswith("220 ")
        client, said = await connected(stack, port, tls=True)
        assert said == FULL
        await client.hung_up()
        await eventually(lambda: way_in.listeners.admission.telling == 0)
        assert way_in.observer.events.count(("turned away", "submissions", "connections")) == 1


async def test_too_many_to_be_told_get_an_alert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handshakes that are made only to refuse are bounded; TLS says no beyond that, and nothing stays counted."""
    monkeypatch.setattr(gate, "TELLING", 0)
    async with reception(tmp_path, config(limits=few(1))) as way_in, AsyncExitStack() as stack:
        port = way_in.listeners.ports["submissions"]
        await connected(stack, port, tls=True)
        with pytest.raises(ssl.SSLError, match=r"(?i)alert internal error"):
            await connected(stack, port, tls=True)
        assert way_in.listeners.admission.telling == 0


async def test_a_handshake_under_way_is_a_connection(tmp_path: Path) -> None:
    """Whoever connects to implicit TLS and says nothing, or nonsense, is counted as long as it is there."""
    async with reception(tmp_path, config(limits=few(2))) as way_in, AsyncExitStack() as stack:
        port, ceilings = way_in.listeners.ports["submissions"], way_in.listeners.admission.ceilings
        writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(2)]
        await eventually(lambda: len(ceilings) == 2)
        assert (await connected(stack, way_in.port))[1] == FULL
        writers[0].transport.abort()
        await eventually(lambda: len(ceilings) == 1)
        writers[1].write(b"EHLO client.example\r\n" * 30)
        await eventually(lambda: len(ceilings) == 0)
        writers[1].close()
        assert (await connected(stack, way_in.port))[1].startswith("220 ")


async def test_each_client_has_a_ceiling_of_its_own(tmp_path: Path) -> None:
    """By address for IPv4, by /64 for IPv6; what a proxy says of itself counts in all alone."""
    async with reception(tmp_path, behind(HERE, limits=few(20, 2))) as way_in, AsyncExitStack() as stack:

        async def told(header: str) -> str:
            return (await connected(stack, way_in.port, header))[1][:9]

        first, again, other = (f"PROXY TCP4 192.0.2.{one} 198.51.100.1 1 25\r\n" for one in (1, 1, 2))
        assert [await told(header) for header in (first, again, first, other)] == ["220 mail.", "220 mail.", "421 4.7.0", "220 mail."]
        near, far = (f"PROXY TCP6 2001:db8:0:{one}::1 :: 1 25\r\n" for one in (1, 2))
        third = "PROXY TCP6 2001:db8:0:1:2:3:4:5 :: 1 25\r\n"
        assert [await told(header) for header in (near, third, near, far)] == ["220 mail.", "220 mail.", "421 4.7.0", "220 mail."]
        assert [await told("PROXY UNKNOWN\r\n") for _ in range(4)] == ["220 mail."] * 4
        assert way_in.observer.events.count(("turned away", "submission", "connections_per_client")) == 2


async def test_ceilings_are_reloaded(tmp_path: Path) -> None:
    """In force with the next connection; nobody is sent away."""
    async with reception(tmp_path, config(limits=few(5, 1))) as way_in, AsyncExitStack() as stack:
        client, _ = await connected(stack, way_in.port)
        assert (await connected(stack, way_in.port))[1] == OFTEN
        way_in.intake.reconfigure(config(limits=few(5, 2)))
        assert (await connected(stack, way_in.port))[1].startswith("220 ")
        way_in.intake.reconfigure(config(limits=few(1)))
        assert (await connected(stack, way_in.port))[1] == FULL
        await client.ask("NOOP", "250 *")


async def test_who_may_not_send_mail_has_less_time(tmp_path: Path) -> None:
    """Silence is ended for a stranger, and goes on for a client that logged in."""
    async with reception(tmp_path, patience=replace(PATIENT, stranger=0.3)) as way_in, AsyncExitStack() as stack:
        known = await stack.enter_async_context(Conversation.with_server(way_in.port))
        await known.authenticated(TLS)
        stranger, _ = await connected(stack, way_in.port)
        await stranger.expect("421 4.4.2 *")
        await stranger.hung_up()
        await known.ask("NOOP", "250 *")


async def test_a_stranger_does_not_stay_by_talking(tmp_path: Path) -> None:
    """All that comes before a login has a time together, whatever is said."""
    async with reception(tmp_path, patience=replace(PATIENT, login=0.5)) as way_in, AsyncExitStack() as stack:
        known = await stack.enter_async_context(Conversation.with_server(way_in.port))
        await known.authenticated(TLS)
        stranger, _ = await connected(stack, way_in.port)
        said = "250 2.0.0 Ok"
        while said == "250 2.0.0 Ok":
            await stranger.write(b"NOOP\r\n")
            said = await asyncio.wait_for(stranger.reply(), PATIENCE)
        assert said.startswith("421 4.4.2 ")
        await known.ask("NOOP", "250 *")


async def test_a_body_has_less_time_than_a_command(tmp_path: Path) -> None:
    """A client that stops within one is parted with, and one that thinks before MAIL is not."""
    async with reception(tmp_path, patience=replace(PATIENT, body=0.4, stranger=0.4)) as way_in, AsyncExitStack() as stack:
        thinking, sending = [await stack.enter_async_context(Conversation.with_server(way_in.port)) for _ in range(2)]
        await thinking.authenticated(TLS)
        await sending.authenticated(TLS)
        await sending.ask("MAIL FROM:<a@example.com>")
        await sending.ask("RCPT TO:<b@example.net>")
        await sending.ask("DATA", "354 *")
        await sending.expect("421 4.4.2 *")
        await thinking.ask("NOOP", "250 *")


async def test_an_exchange_of_auth_that_stops_is_ended(tmp_path: Path) -> None:
    """A client that is asked for its password and says nothing is a stranger still."""
    async with reception(tmp_path, patience=replace(PATIENT, stranger=0.4)) as way_in, Conversation.with_server(way_in.port) as client:
        await client.greeted(TLS)
        await client.ask("AUTH LOGIN", "334 *")
        await client.expect("421 4.4.2 *")
        await client.hung_up()
        await eventually(lambda: way_in.observer.open == 0)


async def test_ipv6_is_served_like_ipv4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without TLS, and its address is in Received and in the log as what it is."""
    monkeypatch.setattr(server, "listening_socket", lambda _host, port: listening_socket(None, port))
    async with reception(tmp_path) as way_in:
        with capture_logs() as logs:
            for name in ("submission", "submissions"):
                for host, literal in (("::1", b"[IPv6:::1]"), ("127.0.0.1", b"[127.0.0.1]")):
                    assert await _received(way_in, name, host) == literal
        assert [line["peer"] for line in logs if line["event"] == "accepted"] == ["::1", "127.0.0.1"] * 2


async def _received(way_in: Reception, listener: str, host: str) -> bytes:
    """Send a message to *host*; return what Received says of the client."""
    implicit = listener == "submissions"
    port = way_in.listeners.ports[listener]
    reader, writer = await asyncio.open_connection(
        host, port, ssl=TLS if implicit else None, server_hostname="localhost" if implicit else None
    )
    client = Conversation(reader, writer)
    await client.expect("220 *")
    await client.ask("EHLO client.example")
    if not implicit:
        await client.starttls(TLS)
        await client.ask("EHLO client.example")
    await client.ask("AUTH PLAIN AGFwcABzZWNyZXQ=", "235 *")
    await client.send(b"x\r\n.\r\n")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return octets(way_in.spool.messages[-1]).split(b"(", 1)[1].split(b")", 1)[0]
