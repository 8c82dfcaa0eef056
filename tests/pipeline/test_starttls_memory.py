"""What a connection under TLS holds: little while it is open, nothing afterwards."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.listener.data import MEMORY
from smtp_gateway.listener.encrypted import PORTION, Portions
from smtp_gateway.listener.session import Session
from tests.support.conversation import Conversation, deaf, plain
from tests.support.gateway import Reception, reception, trusting
from tests.support.messages import octets
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

TLS = trusting()
MANY = 20_000
"""Commands whose replies, 5 MB, are more than TLS and the kernel hold: up to 4 MB by default (`tcp_wmem`), however little the client takes."""


@pytest.fixture
async def way_in(tmp_path: Path) -> AsyncIterator[Reception]:
    """The way in."""
    async with reception(tmp_path) as opened:
        yield opened


@pytest.fixture
def uncollected() -> Iterator[None]:
    """A process that collects no garbage: whatever goes away does so by itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def sessions() -> int:
    """Return how many sessions there are in memory."""
    return sum(isinstance(each, Session) for each in gc.get_objects())


async def test_a_large_message_is_read_in_portions(way_in: Reception, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much of it has arrived already, so that the buffers of TLS stay small; and it is the same in the end."""
    read = []

    def noting(portions: Portions, nbytes: int) -> None:
        read.append(nbytes)
        updated(portions, nbytes)

    updated = Portions.buffer_updated
    monkeypatch.setattr(Portions, "buffer_updated", noting)
    line = b"x" * 76 + b"\r\n"
    body = line * (16 * PORTION // len(line)) + b".\r\n"
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        await client.send(body)

    assert octets(way_in.spool.messages[0]).endswith(body)
    assert sum(read) > len(body)
    assert max(read) <= PORTION


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("listener", ["submission", "submissions"])
async def test_a_session_is_gone_with_its_connection(way_in: Reception, listener: str) -> None:
    """A session, its transport and the buffers of TLS do not hold each other until garbage is collected, which may be a long time."""
    implicit = listener == "submissions"
    for farewell in ("QUIT", "vanish"):
        async with Conversation.with_server(way_in.listeners.ports[listener], TLS if implicit else None) as client:
            await client.expect("220 *")
            if not implicit:
                await client.starttls(TLS)
            await client.ask("EHLO client.example")
            await client.ask(f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *")
            assert sessions() == 1
            if farewell == "QUIT":
                await client.ask("QUIT", "221 *")
                await client.hung_up()
            else:
                client.vanish()
        await eventually(lambda: sessions() == 0)


async def test_a_client_that_does_not_read_its_replies_is_not_read_from(way_in: Reception) -> None:
    """TLS holds half a megabyte of them; what comes after that waits at the client, and all of it is answered when the client reads."""
    client = Conversation(*await deaf(way_in.port))
    await client.greeted(TLS)
    (session,) = way_in.listeners.sessions._open  # noqa: SLF001 it is this one that is asked about
    writing = asyncio.create_task(client.write(b"EHLO a\r\n" * MANY))
    await eventually(lambda: session._unread)  # type: ignore[attr-defined]  # noqa: SLF001 as above
    held = session.transport.get_write_buffer_size() + len(session._inbox.octets)  # type: ignore[attr-defined]  # noqa: SLF001 as above
    assert held < MEMORY
    for _ in range(MANY):
        await client._reader.readuntil(b"250 HELP\r\n")  # noqa: SLF001 line by line it would take ten times as long
    await writing
    await client.ask("NOOP")
    client.vanish()
