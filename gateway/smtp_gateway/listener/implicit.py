"""A connection of a listener with implicit TLS (RFC 8314 section 3.3), until it is encrypted and a session begins.

The loop could make such connections with TLS inside. This does what STARTTLS does instead (`smtp_gateway.listener.encrypted`), beginning
with the client's first octets: a connection is counted, and what a proxy says of it is read (`gate`), before its handshake; reads are bounded
before TLS and not only behind it; a failed handshake is seen here, with its reason; and a probe that connects and closes costs no TLS and
is no failure.

When the gateway stops, a connection without a handshake is closed. A handshake that is under way is waited for: its client hears 421 where
others hear the greeting (RFC 5321 section 3.8), and knows that another server, or a later attempt, will do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from smtp_gateway.listener.encrypted import HANDSHAKE_TIMEOUT, Early, encrypt
from smtp_gateway.listener.handshakes import failed

if TYPE_CHECKING:
    from smtp_gateway.listener.connection import Connection, Front

AT_LEAST = 0.1
"""Seconds that are left for a handshake however late it began: the loops refuse none at all."""


class Doorway(asyncio.Protocol):
    """One connection, before its session."""

    def __init__(self, front: Front, session: Connection) -> None:
        """Let *session* begin once the client has shaken hands; when it does not begin, it is told that its connection is lost."""
        self._front = front
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + HANDSHAKE_TIMEOUT
        self._transport: Any = None  # asyncio's plain transport, or its loop's own
        self._handshake: asyncio.Task[None] | None = None
        self._cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client's first octets."""
        self._transport = transport
        self._front.sessions.add(self, self._front.timeouts.shortest)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget a client that sent nothing. Once it has, TLS is told instead."""
        self._front.sessions.remove(self)
        self._session.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Let TLS begin with *data*, and go on by itself."""
        self._transport.pause_reading()
        self._handshake = self._loop.create_task(self._encrypt())
        # Both are done in one turn of the loop, in this order: the first step of the task, which lets the next turn connect TLS and read
        # on, and this, which puts the octets behind the former. The loop reads between turns only, so nothing can overtake them.
        self._loop.call_soon(self._loop.call_soon, self._hand_on, data)

    async def _encrypt(self) -> None:
        plaintext = Early(self._session)
        within = max(AT_LEAST, self._deadline - self._loop.time())
        error: Exception | None = None
        transport = None
        try:
            transport = await encrypt(plaintext, self._transport, self._front.tls(), within)
        except (OSError, RuntimeError) as failure:
            error = failure
        finally:
            if transport is None:
                self._session.connection_lost(None)
            else:
                plaintext.begin(transport)
            # Not before the session is counted, or a shutdown would take this for the last one.
            self._front.sessions.remove(self)
        if transport is None:
            # Where the handshake was cut, the loops say nothing.
            failed(self._front, self._address, error or (TimeoutError("the gateway stops") if self._cut else None))

    def _hand_on(self, data: bytes) -> None:
        """Give TLS the octets that came before it."""
        tls, rest = self._transport.get_protocol(), memoryview(data)
        while rest and not self._transport.is_closing():
            place = memoryview(tls.get_buffer(len(rest)))
            taken = min(len(place), len(rest))
            place[:taken] = rest[:taken]
            tls.buffer_updated(taken)
            rest = rest[taken:]

    def look(self, now: float) -> None:
        """Close when nothing comes from the client; a handshake that has begun has a time-out of its own."""
        if self._handshake is None and now >= self._deadline and not self._transport.is_closing():
            failed(self._front, self._address, TimeoutError("nothing came from the client"))
            self._transport.abort()

    def dismiss(self) -> None:
        """Close, unless a handshake is under way: its client is told when it is done."""
        if self._handshake is None:
            self._transport.close()

    def cut(self) -> None:
        """Close now."""
        self._cut = True
        self._transport.abort()

    @property
    def _address(self) -> str:
        entrance = self._session.entrance
        return "" if entrance is None else entrance.client.address
