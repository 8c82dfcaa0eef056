"""A token endpoint for tests: real HTTPS on loopback with an authority of its own, that records what it is asked and answers as it is told.

Without other words it gives a new token for each request, `token-1` first, good for an hour.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

import trustme

from smtp_gateway.config.grants import Grant
from smtp_gateway.delivery.trust import Trust
from tests.support.sink import Cut, Hang, Raw

if TYPE_CHECKING:
    from types import TracebackType

AUTHORITY = trustme.CA()
CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = "the-client", "s3cr3t/+= of the client", "r3fr3sh-token/+="
_REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests", 503: "Service Unavailable"}


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: dict[str, str]
    """By name in lower case."""
    form: dict[str, str]


@dataclass(frozen=True)
class Says:
    """An answer."""

    status: int = 200
    told: Any = None
    """Written as JSON; octets as they are."""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def octets(self) -> bytes:
        """The whole answer."""
        body = self.told if isinstance(self.told, bytes) else json.dumps(self.told).encode()
        head = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close", **self.headers}
        lines = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, '')}", *(f"{name}: {value}" for name, value in head.items())]
        return "\r\n".join((*lines, "", "")).encode() + body


def gives(token: str, expires_in: Any = 3600, **more: Any) -> Says:
    """Return the answer that gives *token*."""
    return Says(200, {"access_token": token, "token_type": "Bearer", "expires_in": expires_in, **more})


def refuses(error: str, description: str = "", status: int = 400) -> Says:
    """Return the answer that gives none."""
    return Says(status, {"error": error} | ({"error_description": description} if description else {}))


def trusting(authority: trustme.CA = AUTHORITY) -> Trust:
    """Trust what *authority* signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return Trust(context)


class TokenServer:
    """A scripted token endpoint."""

    def __init__(self, name: str = "localhost") -> None:
        """Show a certificate for *name*."""
        self.port = 0
        self.asked: list[Asked] = []
        self.open = asyncio.Event()
        """Whether requests are answered; those that come before wait."""
        self.open.set()
        self._answers: list[Says | Cut | Hang | Raw] = []
        self._given = 0
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        AUTHORITY.issue_cert(name).configure_cert(self._context)
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://localhost:{self.port}/oauth2/token"

    def grant(self, **other: Any) -> Grant:
        """Return a client's own grant, or *other* than that."""
        return Grant(**{"token_url": self.url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "scope": "mail.send"} | other)

    def answer(self, *answers: Says | Cut | Hang | Raw) -> None:
        """Give *answers* to the next requests, and the last of them to all that follow."""
        self._answers = list(answers)

    async def start(self) -> None:
        """Listen: on any port at first, on the same port after a stop."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and cut every connection."""
        if self._server is not None:
            self._server.close()
            for talk in tuple(self._talks):
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                self.asked.append(await _request(reader))
                await self.open.wait()
                await self._give(writer)
        finally:
            self._talks.discard(task)
            writer.transport.abort()

    async def _give(self, writer: asyncio.StreamWriter) -> None:
        answer = self._next()
        if isinstance(answer, Hang):
            await asyncio.get_running_loop().create_future()
            return
        writer.write(answer.octets)
        await writer.drain()
        writer.close()
        with suppress(OSError):  # the client may have hung up already
            await writer.wait_closed()

    def _next(self) -> Says | Cut | Hang | Raw:
        if not self._answers:
            self._given += 1
            return gives(f"token-{self._given}")
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def _request(reader: asyncio.StreamReader) -> Asked:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    form = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
    return Asked(first.split()[1], headers, dict(parse_qsl(form, strict_parsing=True)))
