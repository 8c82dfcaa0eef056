"""Connections that are no session yet when the gateway stops: none is greeted and then left alone."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.mail.reply import SHUTTING_DOWN
from tests.support.conversation import Conversation
from tests.support.gateway import Reception, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LISTENERS = ("submission", "submissions")
GOODBYE = f"{SHUTTING_DOWN}\r\n".encode()


class Handshake:
    """A client's side of TLS, a step at a time."""

    def __init__(self, client: Conversation) -> None:
        """Shake hands on the connection of *client*."""
        self._client = client
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trusting().wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    async def begin(self) -> None:
        """Say hello and hear the server's answer, but do not finish."""
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        await self._client.write(self._outgoing.read())
        self._incoming.write(await self._client.read())

    async def finish(self) -> bytes:
        """Finish, and return all that is said under TLS until the server ends it."""
        await self._step(self._tls.do_handshake)
        heard = b""
        while octets := await self._step(lambda: self._tls.read(1000)):
            heard += octets
        return heard

    async def _step(self, step: Callable[[], bytes | None]) -> bytes:
        while True:
            try:
                done = step() or b""
            except ssl.SSLWantReadError:
                if octets := self._outgoing.read():
                    await self._client.write(octets)
                self._incoming.write(await self._client.read())
            except ssl.SSLZeroReturnError:
                return b""
            else:
                if octets := self._outgoing.read():
                    await self._client.write(octets)
                return done


@asynccontextmanager
async def shaking_hands(way_in: Reception, listener: str) -> AsyncIterator[tuple[Conversation, Handshake]]:
    """Get into the middle of a handshake."""
    async with Conversation.with_server(way_in.listeners.ports[listener]) as client:
        if listener == "submission":
            await client.expect("220 *")
            await client.ask("STARTTLS", "220 *")
        handshake = Handshake(client)
        await handshake.begin()
        yield client, handshake


def nothing_is_left(way_in: Reception) -> bool:
    """Tell whether every connection is counted out everywhere."""
    listeners = way_in.listeners
    return way_in.observer.open == len(listeners.sessions) == len(listeners.admission.ceilings) == 0


@pytest.mark.parametrize("listener", LISTENERS)
async def test_a_handshake_under_way_is_waited_for_and_its_client_told(way_in: Reception, listener: str) -> None:
    """It hears 421 and nothing else, the greeting of implicit TLS included, so that it knows to try elsewhere."""
    async with shaking_hands(way_in, listener) as (_, handshake):
        way_in.listeners.stop_accepting()
        finishing = asyncio.create_task(way_in.listeners.finish_sessions(10.0))
        assert await handshake.finish() == GOODBYE

    assert await finishing == 0
    await eventually(lambda: nothing_is_left(way_in))


@pytest.mark.parametrize("listener", LISTENERS)
async def test_a_handshake_without_end_is_cut_without_a_word(way_in: Reception, listener: str) -> None:
    """The wait for it is bounded, and its client is in no state for a reply."""
    async with shaking_hands(way_in, listener) as (client, _):
        way_in.listeners.stop_accepting()
        assert await way_in.listeners.finish_sessions(0.05) == 1
        await client.hung_up()

    await eventually(lambda: nothing_is_left(way_in))
    assert ("handshake failed", listener, "timeout") in way_in.observer.events


async def test_a_client_that_has_not_begun_its_handshake_is_closed_at_once(way_in: Reception) -> None:
    """Nothing was promised to it; and it is no failed handshake."""
    async with Conversation.with_server(way_in.listeners.ports["submissions"]) as client:
        await eventually(lambda: len(way_in.listeners.sessions) == 1)
        way_in.listeners.stop_accepting()
        assert await way_in.listeners.finish_sessions(10.0) == 0
        await client.hung_up()

    assert nothing_is_left(way_in)
    assert way_in.observer.events == []


async def test_a_connection_that_was_accepted_too_late_is_not_greeted(way_in: Reception) -> None:
    """It was under way through the loop when the listening socket was closed: the first thing that it hears is 421."""
    way_in.listeners.sessions.closed = True
    async with Conversation.with_server(way_in.port) as client:
        assert (await client.read()) == GOODBYE
        await client.hung_up()
    async with Conversation.with_server(way_in.listeners.ports["submissions"]) as client:
        await client.hung_up()

    await eventually(lambda: nothing_is_left(way_in))
