"""One connection to a next hop: commands out, replies in, each with a limit on the wait.

A Protocol and not streams: an answer costs one wake-up of one future, and no reader task stands between. After an error the
connection is of no further use; `leave` says QUIT where that still makes sense and lets go in any case.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from smtp_gateway.delivery import wire
from smtp_gateway.delivery.faults import (
    ConnectionLostError,
    ForeignProtocolError,
    HandshakeError,
    NoConnectionError,
    SessionError,
)
from smtp_gateway.delivery.replies import MalformedReplyError, ReplyParser

if TYPE_CHECKING:
    import ssl

    from smtp_gateway.mail.reply import Reply

CHUNK = 256 * 1024
"""Octets of a body that are handed to the transport at once: enough to keep a fast peer busy, little to hold for a slow one."""


class Connection(asyncio.Protocol):
    """The client's end of one SMTP connection."""

    def __init__(self) -> None:
        """Begin unconnected; `open_connection` connects it."""
        self._transport: asyncio.Transport | None = None
        self._incoming = ReplyParser()
        self._fault: SessionError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._leaving: asyncio.TimerHandle | None = None

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect replies, or, after QUIT, take whatever comes as its answer."""
        if self._leaving is not None:
            self._abort()
            return
        try:
            self._incoming.feed(data)
        except MalformedReplyError as fault:
            self._fail(ForeignProtocolError(f"The next hop does not speak SMTP: {fault}"))
            self._abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """End every wait."""
        if self._leaving is not None:
            self._leaving.cancel()
        self._fail(ConnectionLostError(f"Connection lost: {exc or 'closed by the next hop'}"))

    def pause_writing(self) -> None:
        """Wait before more is written."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on writing."""
        self._paused = False
        self._wake()

    # What a session calls.

    async def reply(self, patience: float) -> Reply:
        """Return the next reply.

        Raises `SessionError` when the connection is lost, when no reply is complete within *patience* seconds, or when it is none.
        """
        try:
            if (reply := self._incoming.next_reply()) is not None:
                return reply  # the usual case behind the first of several commands, and a timer costs more than a reply
            async with asyncio.timeout(patience):
                while (reply := self._incoming.next_reply()) is None:
                    await self._news()
        except TimeoutError as fault:
            message = f"No answer within {patience:g} s"
            raise ConnectionLostError(message) from fault
        except MalformedReplyError as fault:
            message = f"The next hop does not speak SMTP: {fault}"
            raise ForeignProtocolError(message) from fault
        return reply

    @property
    def quiet(self) -> bool:
        """Whether the connection can carry another transaction: open, and nothing said that was not asked for."""
        alive = self._transport is not None and not self._transport.is_closing()
        return alive and self._fault is None and self._leaving is None and self._incoming.empty

    def send(self, *texts: str) -> Reply | None:
        """Send several commands in one write (RFC 2920); their replies are read by `reply`, one each and in their order.

        Returns a refusal that arrived before it was asked for, and then nothing was sent. Raises `SessionError`.
        """
        lines = b"".join(map(wire.command, texts))
        early = self._early()
        if early is None:
            self._write(lines)
        return early

    async def exchange(self, text: str, patience: float) -> Reply:
        """Send the command *text* and return its reply. Raises as `reply` does."""
        line = wire.command(text)
        early = self._early()
        if early is not None:
            return early
        self._write(line)
        return await self.reply(patience)

    async def send_body(self, body: bytes, block_patience: float, end_patience: float) -> Reply:
        """Send *body*, its end of data included, and return the reply to it. Raises as `reply` does.

        *block_patience* bounds the wait for room for each block (RFC 5321 section 4.5.3.2.5), *end_patience* that for the reply.
        """
        view = memoryview(body)
        for start in range(0, len(view), CHUNK):
            early = self._early()
            if early is not None:
                self.cut("Left in the middle of the content")
                return early
            self._write(view[start : start + CHUNK])
            await self._room(block_patience)
        return await self.reply(end_patience)

    async def start_tls(self, context: ssl.SSLContext, hostname: str, patience: float) -> None:
        """Put TLS on the connection, after STARTTLS was answered 220. Raises `HandshakeError`.

        Replies that arrived in the clear behind that 220 are dropped: they would otherwise answer commands sent under TLS.
        """
        if self._transport is None or self._transport.is_closing():
            message = "TLS handshake failed: connection lost"
            raise HandshakeError(message)
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(self._transport, self, context, server_hostname=hostname, ssl_handshake_timeout=patience)
        except (OSError, ValueError) as fault:  # SSLError and TimeoutError are OSErrors; a name that is none for SNI is a ValueError
            message = f"TLS handshake failed: {fault or type(fault).__name__}"
            raise HandshakeError(message) from fault
        if transport is None:
            message = "TLS handshake failed: connection lost"
            raise HandshakeError(message)
        self._transport = transport
        self._incoming.clear()

    def leave(self, patience: float) -> None:
        """Say QUIT and let go once it is answered, or after *patience* seconds; returns at once (RFC 5321 section 4.1.1.10)."""
        if self._transport is None or self._transport.is_closing() or self._fault is not None or self._leaving is not None:
            self._abort()
            return
        self._leaving = asyncio.get_running_loop().call_later(patience, self._abort)
        self._transport.write(b"QUIT\r\n")

    def cut(self, why: str) -> None:
        """Let go without a word, because the next hop would take it for content; *why* is what later calls are told."""
        self._fail(ConnectionLostError(why))
        self._abort()

    def _early(self) -> Reply | None:
        """Return a refusal that arrived unasked, such as 421 before the connection is closed; None when nothing arrived.

        Raises `SessionError` when it is not a refusal: with it, each later reply would answer the command before its own.
        """
        if self._incoming.empty:
            return None
        try:
            reply = self._incoming.next_reply()
        except MalformedReplyError:
            reply = None
        if reply is None or not reply.negative:
            message = "The next hop answered before it was asked"
            raise ForeignProtocolError(message)
        return reply

    def _write(self, octets: bytes | memoryview) -> None:
        if self._fault is not None:
            raise self._fault
        cast("asyncio.WriteTransport", self._transport).write(octets)

    async def _room(self, patience: float) -> None:
        if not self._paused:
            return
        try:
            async with asyncio.timeout(patience):
                while self._paused:
                    await self._news()
        except TimeoutError as fault:
            message = f"The next hop took no data for {patience:g} s"
            raise ConnectionLostError(message) from fault

    async def _news(self) -> None:
        """Wait until something happened on the connection. Raises `SessionError` when that is its end."""
        if self._fault is not None:
            raise self._fault
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, fault: SessionError) -> None:
        self._fault = self._fault or fault
        self._paused = False
        self._wake()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def open_connection(address: str, port: int, patience: float) -> Connection:
    """Connect to *address*. Raises `SessionError` when that fails or takes longer than *patience* seconds."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience):
            _, connection = await loop.create_connection(Connection, address, port)
    except TimeoutError as fault:
        message = f"Connection timed out after {patience:g} s"
        raise NoConnectionError(message) from fault
    except OSError as fault:
        message = f"Connection failed: {fault.strerror or fault}"
        raise NoConnectionError(message) from fault
    return connection
