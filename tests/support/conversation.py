"""A conversation in SMTP, line by line: what is sent is what is written here, octet for octet, and replies are matched by pattern."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

PATIENCE = 10.0
"""Seconds that one reply may take."""


async def deaf(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to *port* on loopback as a client that takes next to nothing unless it is read: otherwise kernels would take megabytes."""
    connecting = socket.socket()
    # Before the connection is made: its window is agreed on then, and the size of segments, by which the server's kernel measures its own.
    connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    connecting.setblocking(False)  # noqa: FBT003 the parameter has no other way
    await asyncio.get_running_loop().sock_connect(connecting, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=connecting, limit=4096)


class UnexpectedReplyError(AssertionError):
    """The server said something else."""


class Conversation:
    """One client's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk over an open connection."""
        self._reader = reader
        self._writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def with_server(cls, port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        """Connect to *port* on loopback, under implicit TLS when *tls* is given; the connection is closed at the end."""
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name, limit=2**20)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def write(self, octets: bytes) -> None:
        """Send *octets* as they are."""
        self._writer.write(octets)
        await self._writer.drain()

    async def read(self) -> bytes:
        """Return some octets of what the server sends."""
        return await asyncio.wait_for(self._reader.read(100_000), PATIENCE)

    async def reply(self) -> str:
        """Return the next reply, its lines joined by line feeds."""
        lines: list[str] = []
        while True:
            line = await asyncio.wait_for(self._reader.readline(), PATIENCE)
            if not line:
                message = f"the server hung up after {lines}"
                raise UnexpectedReplyError(message)
            assert line.endswith(b"\r\n"), line
            lines.append(line[:-2].decode())
            if line[3:4] != b"-":
                return "\n".join(lines)

    async def expect(self, pattern: str) -> str:
        """Return the next reply, which must match *pattern* (`*` and `?` are wild)."""
        reply = await self.reply()
        if not fnmatchcase(reply, pattern):
            message = f"expected {pattern!r}, got {reply!r}"
            raise UnexpectedReplyError(message)
        return reply

    async def ask(self, command: str, pattern: str = "2*") -> str:
        """Send one command line and return its reply, which must match *pattern*."""
        await self.write(command.encode() + b"\r\n")
        return await self.expect(pattern)

    async def hung_up(self) -> None:
        """Wait until the server closes the connection, having said nothing more."""
        with contextlib.suppress(ConnectionResetError):
            rest = await asyncio.wait_for(self._reader.read(), PATIENCE)
            assert rest == b""

    def vanish(self) -> None:
        """Cut the connection without a word."""
        self._writer.transport.abort()

    def finish_writing(self) -> None:
        """Send nothing more, but go on reading."""
        self._writer.write_eof()

    async def starttls(self, tls: ssl.SSLContext, *, behind: bytes = b"") -> None:
        """Go on under TLS; *behind* is sent in the clear in the same write as STARTTLS."""
        await self.write(b"STARTTLS\r\n" + behind)
        await self.expect("220 2.0.0 *")
        await self._writer.start_tls(tls, server_hostname="localhost")

    async def greeted(self, tls: ssl.SSLContext) -> Self:
        """Get to the state where AUTH is allowed."""
        await self.expect("220 *")
        await self.ask("EHLO client.example")
        await self.starttls(tls)
        await self.ask("EHLO client.example")
        return self

    async def authenticated(self, tls: ssl.SSLContext, login: str = "app", password: str = "secret") -> Self:  # noqa: S107 the password of a test
        """Get to the state where MAIL is allowed."""
        await self.greeted(tls)
        await self.ask(f"AUTH PLAIN {plain(login, password)}", "235 2.7.0 *")
        return self

    async def send(self, body: bytes, pattern: str = "250 2.0.0 Ok: queued as *", sender: str = "a@example.com") -> str:
        """Send one message whose wire form is *body*, and return the reply to it."""
        await self.ask(f"MAIL FROM:<{sender}>", "250 2.1.0 *")
        await self.ask("RCPT TO:<b@example.net>", "250 2.1.5 *")
        await self.ask("DATA", "354 *")
        await self.write(body)
        return await self.expect(pattern)


def plain(login: str, password: str) -> str:
    """Return the initial response of AUTH PLAIN (RFC 4616)."""
    return encoded(f"\0{login}\0{password}")


def encoded(text: str) -> str:
    """Return *text* in base64."""
    return base64.b64encode(text.encode()).decode()
