from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from smtp_gateway.admin.port import PROBES, Place, PortError, open_port
from smtp_gateway.listener import server
from smtp_gateway.listener.server import listening_socket
from tests.support.conversation import Conversation
from tests.support.gateway import HOSTNAME, reception, trusting
from tests.support.messages import octets
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path


def reachable(host: str, port: int) -> bool:
    """Tell whether a connection is taken."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 2.0):
        return True
    return False


def test_one_port_serves_both_families() -> None:
    """A port of the system's choice is the same for IPv4 and, where the machine has it, IPv6."""
    with listening_socket(None, 0) as bound:
        port = bound.getsockname()[1]
        assert reachable("127.0.0.1", port)
        assert reachable("::1", port) is (socket.has_dualstack_ipv6() and bound.family == socket.AF_INET6)
        assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert bound.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == server.KEEPALIVE_AFTER


def test_a_machine_without_ipv6_gets_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """As nodes that boot with IPv6 disabled."""
    create = socket.create_server

    def without_ipv6(
        address: tuple[str, int], *, family: int = socket.AF_INET, backlog: int = 1, dualstack_ipv6: bool = False
    ) -> socket.socket:
        if family == socket.AF_INET6 or dualstack_ipv6:
            raise OSError(97, "Address family not supported by protocol")
        return create(address, backlog=backlog)

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    with listening_socket(None, 0) as bound:
        assert bound.family == socket.AF_INET
        assert reachable("127.0.0.1", bound.getsockname()[1])


async def test_a_client_of_the_dual_stack_socket_is_named_by_its_ipv4_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the IPv6 form that the socket shows."""
    monkeypatch.setattr(server, "listening_socket", lambda _host, port: listening_socket(None, port))
    async with reception(tmp_path) as way_in, Conversation.with_server(way_in.port) as client:
        await client.authenticated(trusting())
        await client.send(b"x\r\n.\r\n")
        assert b" ([127.0.0.1])\r\n" in octets(way_in.spool.messages[0])


async def test_a_client_without_extensions_is_greeted_and_gets_no_further(tmp_path: Path) -> None:
    """HELO has no STARTTLS and no AUTH, so no mail is taken after it."""
    async with reception(tmp_path) as way_in, Conversation.with_server(way_in.port) as client:
        await client.expect("220 *")
        await client.ask("HELO", "501 5.5.4 *")
        await client.ask("HELO client.example", f"250 {HOSTNAME}")
        await client.ask("AUTH PLAIN", "500 5.5.2 *")
        await client.ask("MAIL FROM:<a@example.com>", "530 5.7.0 *")


async def test_an_http_port_that_is_taken_is_named() -> None:
    """The gateway does not start without its probes."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with AsyncExitStack() as stack:
            with pytest.raises(PortError, match=f"probes and metrics cannot use port {port}"):
                await open_port(stack, web.Application(), Place(PROBES, "127.0.0.1", port))


async def test_idle_connections_cost_no_session_their_life(tmp_path: Path) -> None:
    """Hundreds that say nothing stand beside one that works, and are gone when they close."""
    async with reception(tmp_path) as way_in:
        idle = [await asyncio.open_connection("127.0.0.1", way_in.port) for _ in range(200)]
        async with Conversation.with_server(way_in.port) as client:
            await client.authenticated(trusting())
            await client.send(b"x\r\n.\r\n")
        for _, writer in idle:
            writer.transport.abort()
        await eventually(lambda: way_in.observer.open == 0)
