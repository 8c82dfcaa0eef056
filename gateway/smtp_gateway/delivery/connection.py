"""One connection to a next hop: commands out, replies in, each with a limit on the wait.

A Protocol and not streams: replies are read where they arrive, and whoever waits is woken once, when all that it waits for is there.
After an error the connection is of no further use; `leave` says QUIT where that still makes sense and lets go in any case.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING, cast

from smtp_gateway.delivery import wire
from smtp_gateway.delivery.faults import (
    NO_WAY,
    ConnectionLostError,
    ForeignProtocolError,
    HandshakeError,
    NoAnswerError,
    NoConnectionError,
    SessionError,
    UnjudgedHandshakeError,
)
from smtp_gateway.delivery.patience import Patience
from smtp_gateway.delivery.replies import MalformedReplyError, ReplyParser

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smtp_gateway.mail.body import Body
    from smtp_gateway.mail.reply import Reply

CLOSING = 421
"""The code after which a server closes the connection, and the one that it may send unasked (RFC 5321 section 3.8)."""


class Connection(asyncio.Protocol):
    """The client's end of one SMTP connection."""

    def __init__(self) -> None:
        """Begin unconnected; `open_connection` connects it."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._incoming = ReplyParser()
        self._expected: deque[float] = deque()
        """The patience with each reply that is still to come."""
        self._replies: list[Reply] = []
        """Those of the expected ones that have come."""
        self._fault: SessionError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._patience = Patience(self._loop, self._overdue)
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
            self._read()
        except MalformedReplyError as fault:
            self._fail(ForeignProtocolError(f"The next hop does not speak SMTP: {fault}"))
            self._abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End every wait."""
        if self._leaving is not None:
            self._leaving.cancel()
        self._patience.cancel()
        fault = ConnectionLostError(f"Connection lost: {exc or 'closed by the next hop'}")
        fault.__cause__ = exc
        self._fail(fault)

    def pause_writing(self) -> None:
        """Wait before more is written."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on writing."""
        self._paused = False
        self._wake()

    # What a session calls.

    async def answers(self, patience: Iterable[float], into: list[Reply]) -> None:
        """Add the next replies to *into*, one for each number of seconds in *patience*; fewer after a 421, which is then the last.

        Each is waited for from the moment of the one before it, and only a whole reply counts, so that a server that drips gains
        nothing. Raises `SessionError` when the connection is lost, when a reply does not come in time, or when it is none; those that
        came before are in *into* then, too.
        """
        self._expected.extend(patience)
        self._patience.begin(self._expected[0])
        try:
            if not self._incoming.empty:
                self._read()
            while self._expected:
                await self._news()
        except MalformedReplyError as fault:
            message = f"The next hop does not speak SMTP: {fault}"
            raise ForeignProtocolError(message) from fault
        finally:
            self._patience.end()
            self._expected.clear()
            into += self._replies
            self._replies.clear()

    async def reply(self, patience: float) -> Reply:
        """Return the next reply. Raises as `answers` does."""
        found: list[Reply] = []
        await self.answers((patience,), found)
        return found[0]

    def bound(self, seconds: float) -> None:
        """Let all waits for replies that begin from here on end within *seconds* in all; infinity takes that back."""
        self._patience.within(seconds)

    @property
    def quiet(self) -> bool:
        """Whether the connection can carry another transaction: open, and nothing said that was not asked for."""
        alive = self._transport is not None and not self._transport.is_closing()
        return alive and self._fault is None and self._leaving is None and self._incoming.empty

    def send(self, *texts: str) -> Reply | None:
        """Send several commands in one write (RFC 2920); their replies are read by `answers`, one each and in their order.

        Returns a 421 that arrived before it was asked for, and then nothing was sent. Raises `SessionError`.
        """
        lines = wire.commands(texts)
        early = self._early()
        if early is None:
            self._write(lines)
        return early

    async def exchange(self, text: str, patience: float) -> Reply:
        """Send the command *text* and return its reply. Raises as `answers` does."""
        return self.send(text) or await self.reply(patience)

    async def send_body(self, body: Body, block_patience: float, end_patience: float) -> Reply:
        """Send *body*, its end of data included, and return the reply to it.

        *block_patience* bounds the wait for room for each block (RFC 5321 section 4.5.3.2.5), *end_patience* that for the reply. Raises
        as `answers` does, and `DamagedBodyError` or `UnsafeOctetsError`. What ends it early cuts the connection: the next hop has no
        end of data then, so it takes nothing.
        """
        try:
            async for block in wire.blocks(body):
                if early := self._early(refusal=True):
                    self.cut("Left in the middle of the content")
                    return early
                self._write(block)
                await self._room(block_patience)
        except BaseException:
            self.cut("Left in the middle of the content")
            raise
        return await self.reply(end_patience)

    async def start_tls(self, context: ssl.SSLContext, hostname: str, patience: float) -> None:
        """Put TLS on the connection: after STARTTLS was answered 220, or before anything else. Raises `HandshakeError`.

        Replies that arrived in the clear behind that 220 are dropped: they would otherwise answer commands sent under TLS.
        """
        if self._transport is None or self._transport.is_closing():
            message = "TLS handshake failed: connection lost"
            raise UnjudgedHandshakeError(message)
        try:
            transport = await self._loop.start_tls(self._transport, self, context, server_hostname=hostname, ssl_handshake_timeout=patience)
        except (OSError, ValueError) as fault:  # SSLError and TimeoutError are OSErrors; a name that is none for SNI is a ValueError
            message = f"TLS handshake failed: {fault or type(fault).__name__}"
            kind = HandshakeError if _is_judgement(fault) else UnjudgedHandshakeError
            raise kind(message) from fault
        if transport is None:
            message = "TLS handshake failed: connection lost"
            raise UnjudgedHandshakeError(message)
        self._transport = transport
        self._incoming.clear()

    @property
    def tls(self) -> tuple[str, str]:
        """The version of TLS and the cipher suite that `start_tls` agreed on with the next hop."""
        agreed = cast("asyncio.Transport", self._transport).get_extra_info("ssl_object")
        return agreed.version(), agreed.cipher()[0]

    def leave(self, patience: float) -> None:
        """Say QUIT and let go once it is answered, or after *patience* seconds; returns at once (RFC 5321 section 4.1.1.10)."""
        if self._transport is None or self._transport.is_closing() or self._fault is not None or self._leaving is not None:
            self._abort()
            return
        self._leaving = self._loop.call_later(patience, self._abort)
        self._transport.write(b"QUIT\r\n")

    def cut(self, why: str) -> None:
        """Let go without a word, because the next hop would take it for content; *why* is what later calls are told."""
        self._fail(ConnectionLostError(why))
        self._abort()

    def unasked(self) -> Reply | None:
        """Return a 421 that arrived beyond what was asked for; None when nothing did. Raises `SessionError` when it is something else."""
        return self._early()

    # Within.

    def _read(self) -> None:
        """Take the replies that are expected; what came unasked stays where it is. Raises `MalformedReplyError`."""
        while self._expected and (reply := self._incoming.next_reply()) is not None:
            self._expected.popleft()
            self._replies.append(reply)
            if self._expected and reply.code != CLOSING:
                self._patience.begin(self._expected[0])
            else:
                self._expected.clear()
                self._wake()

    def _early(self, *, refusal: bool = False) -> Reply | None:
        """Return a 421 that arrived unasked, before the connection is closed; or, with *refusal*, any refusal. None when nothing arrived.

        Raises `SessionError` when it is something else: with it, each later reply would answer the command before its own, and a
        refusal would be taken for that of a recipient who was not asked for yet.
        """
        if self._incoming.empty:
            return None
        try:
            reply = self._incoming.next_reply()
        except MalformedReplyError:
            reply = None
        if reply is None or not (reply.code == CLOSING or (refusal and reply.negative)):
            message = "The next hop answered before it was asked"
            raise ForeignProtocolError(message)
        return reply

    def _write(self, octets: bytes) -> None:
        if self._fault is not None:
            raise self._fault
        cast("asyncio.WriteTransport", self._transport).write(octets)

    async def _room(self, patience: float) -> None:
        if not self._paused:
            return
        self._patience.begin(patience)
        try:
            while self._paused:
                await self._news()
        finally:
            self._patience.end()

    async def _news(self) -> None:
        """Wait until something happened on the connection. Raises `SessionError` when that is its end."""
        if self._fault is not None:
            raise self._fault
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _overdue(self) -> None:
        seconds = f"{self._patience.seconds:g} s"
        self.cut(f"No answer within {seconds}" if self._expected else f"The next hop took no data for {seconds}")

    def _fail(self, fault: SessionError) -> None:
        self._fault = self._fault or fault
        self._paused = False
        self._wake()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _is_judgement(fault: OSError | ValueError) -> bool:
    """Tell whether *fault* says something of the next hop's TLS, and not only that its connection has ended or that nothing came."""
    return isinstance(fault, ssl.SSLError | ValueError) and not isinstance(fault, ssl.SSLEOFError | ssl.SSLZeroReturnError)


async def open_connection(address: str, port: int, patience: float) -> Connection:
    """Connect to *address*. Raises `SessionError` when that fails or takes longer than *patience* seconds."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience):
            _, connection = await loop.create_connection(Connection, address, port)
    except TimeoutError as fault:
        message = f"Connection timed out after {patience:g} s"
        raise NoAnswerError(message) from fault
    except OSError as fault:
        message = f"Connection failed: {fault.strerror or fault}"
        kind = NoAnswerError if fault.errno in NO_WAY else NoConnectionError
        raise kind(message) from fault
    return connection
