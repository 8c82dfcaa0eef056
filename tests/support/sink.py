"""A next hop for tests: an SMTP server on loopback that records what it gets and answers as it is told.

Phases are `connect`, `EHLO`, `HELO`, `STARTTLS`, `MAIL`, `RCPT`, `DATA`, `body` (the end of data), `RSET`, `NOOP`, `QUIT`, and `idle`, what is
said unasked behind the reply to the end of data. Without a rule it accepts everything. It can be stopped and started again on the same
port, as a next hop that goes away and comes back. Ways to answer that no server should have are in `tests.support.hostile`.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, cast

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

EXTENSIONS = ("SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
LONGEST_LINE = 64 * 1024 * 1024
_DEFAULTS = {
    "connect": "220 sink.example ESMTP",
    "HELO": "250 sink.example",
    "STARTTLS": "220 2.0.0 Go ahead",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 Go ahead",
    "body": "250 2.0.0 Taken",
    "RSET": "250 2.0.0 Ok",
    "NOOP": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}


@dataclass(frozen=True)
class Cut:
    """Instead of a whole reply: send *octets*, then close the connection."""

    octets: bytes = b""


@dataclass(frozen=True)
class Hang:
    """Instead of a reply: say nothing until the sink stops or the client goes."""


@dataclass(frozen=True)
class Raw:
    """Instead of a reply: these octets."""

    octets: bytes


@dataclass(frozen=True)
class Stall:
    """A reply after which nothing more is read."""

    reply: str


@dataclass(frozen=True)
class Act(ABC):
    """Instead of a reply: whatever `perform` does."""

    @property
    def said(self) -> str:
        """The reply that the sink itself believes to have given; empty when it gave none."""
        return ""

    @abstractmethod
    async def perform(self, writer: asyncio.StreamWriter) -> None:
        """Do it. May raise `OSError`, and may take for ever; the session ends when the client or the sink does."""


Answer = str | Cut | Hang | Raw | Stall | Act


@dataclass(frozen=True)
class Taken:
    """One message that the sink answered 250 for."""

    sender: str
    recipients: tuple[str, ...]
    body: bytes
    """In wire form, end of data included."""
    tls: bool
    parameters: str
    """What followed the address in MAIL."""

    @property
    def content(self) -> bytes:
        """The body as its sender wrote it: dots unstuffed, without the end of data."""
        lines = self.body.removesuffix(b".\r\n").split(b"\r\n")
        return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)


@dataclass
class _Rule:
    phase: str
    answer: Answer
    matching: str
    times: int | None


@dataclass
class Talk:
    """One session."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    tls: bool = False
    sender: str | None = None
    parameters: str = ""
    recipients: list[str] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)


def greeting(*lines: str) -> str:
    """Return the reply to EHLO with *lines*, the server's name first."""
    return "\r\n".join(f"250{'-' if number < len(lines) else ' '}{line}" for number, line in enumerate(lines, 1))


class _CutError(Exception):
    pass


_REPLY = re.compile(rb"(?:\d{3}-[^\r\n]*\r\n)*(\d{3}(?: [^\r\n]*)?)\r\n")


def _said(answer: Answer) -> str:
    """Return the first whole reply of *answer*, by which the sink goes on; empty when there is none."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Act):
        return answer.said
    if isinstance(answer, Stall):
        return answer.reply
    match = None if isinstance(answer, Hang) else _REPLY.match(answer.octets)
    return match[1].decode() if match else ""


def _in_order(talk: Talk, phase: str) -> bool:
    """Tell whether a command may come at this point of a transaction (RFC 5321 section 4.1.4)."""
    if phase in {"MAIL", "RCPT"}:
        return (talk.sender is None) is (phase == "MAIL")
    return phase != "DATA" or bool(talk.recipients)


class Sink:
    """A scripted next hop."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        extensions: tuple[str, ...] = EXTENSIONS,
        host: str = "127.0.0.1",
        implicit: bool = False,
    ) -> None:
        """Listen on *host* once started; offer STARTTLS when *tls* is given, or have TLS from the first octet when it is *implicit*."""
        self._implicit = implicit
        self.host = host
        self.port = 0
        self.taken: list[Taken] = []
        self.commands: list[str] = []
        """Every command line of every session, in the order of arrival."""
        self.transcripts: list[list[str]] = []
        """The command lines of each session."""
        self.sessions = 0
        self.open_sessions = 0
        self.orderly = False
        """Whether RCPT without MAIL, and DATA without a recipient, are answered 503 (RFC 5321 section 3.3), as real servers do."""
        self._tls = tls
        self._extensions = extensions
        self._rules: list[_Rule] = []
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    def answer(self, phase: str, answer: Answer, *, matching: str = "", times: int | None = None) -> None:
        """Give *answer* in *phase*, to commands that contain *matching*, *times* times (None: always). Later rules go first."""
        self._rules.insert(0, _Rule(phase, answer, matching, times))

    def forget_rules(self) -> None:
        """Accept everything again."""
        self._rules.clear()

    async def start(self) -> None:
        """Listen: on any port at first, on the same port after a stop."""
        tls = self._tls if self._implicit else None
        self._server = await asyncio.start_server(self._accept, self.host, self.port, limit=LONGEST_LINE, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and cut every session."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        for talk in tuple(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        await self.stop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        self.sessions += 1
        self.open_sessions += 1
        try:
            with suppress(_CutError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                talk = Talk(reader, writer, self._implicit)
                self.transcripts.append(talk.transcript)
                await self._talk(talk)
        finally:
            self.open_sessions -= 1
            self._talks.discard(task)
            writer.transport.abort()

    async def _talk(self, talk: Talk) -> None:
        await self._say(talk, "connect", "")
        while line := await talk.reader.readuntil(b"\r\n"):
            command = line.decode().removesuffix("\r\n")
            self.commands.append(command)
            talk.transcript.append(command)
            verb = command.partition(" ")[0].upper()
            if await self._serve(talk, verb, command):
                return

    async def _serve(self, talk: Talk, verb: str, command: str) -> bool:
        """Answer one command; tell whether it ended the session."""
        reply = await self._say(talk, verb, command)
        if verb in {"EHLO", "HELO", "RSET"}:
            talk.sender = None
            talk.recipients.clear()
        elif verb == "STARTTLS" and reply.startswith("220"):
            await talk.writer.start_tls(self._context())
            talk.tls = True
        elif verb == "MAIL" and reply.startswith("2"):
            talk.recipients.clear()
            talk.sender, _, talk.parameters = command[len("MAIL FROM:<") :].partition(">")
        elif verb == "RCPT" and reply.startswith("2"):
            talk.recipients.append(command[len("RCPT TO:<") :].partition(">")[0])
        elif verb == "DATA" and reply.startswith("354"):
            await self._body(talk)
        return verb == "QUIT"

    async def _body(self, talk: Talk) -> None:
        lines = [await talk.reader.readuntil(b"\r\n")]
        while lines[-1] != b".\r\n":
            lines.append(await talk.reader.readuntil(b"\r\n"))
        message = Taken(talk.sender or "", tuple(talk.recipients), b"".join(lines), talk.tls, talk.parameters.strip())
        talk.sender = None
        reply = self._chosen("body", " ".join(talk.recipients))
        if _said(reply).startswith("2"):
            self.taken.append(message)
        await self._give(talk, reply)
        await self._give(talk, self._chosen("idle", " ".join(message.recipients)))

    async def _say(self, talk: Talk, phase: str, command: str) -> str:
        answer = self._chosen(phase, command, talk)
        await self._give(talk, answer)
        return _said(answer)

    async def _give(self, talk: Talk, answer: Answer) -> None:
        if isinstance(answer, Act):
            await answer.perform(talk.writer)
            return
        if not isinstance(answer, Hang):
            text = answer.reply if isinstance(answer, Stall) else answer
            talk.writer.write(f"{text}\r\n".encode() if isinstance(text, str) else text.octets)
            await talk.writer.drain()
        if isinstance(answer, (Hang, Stall)):
            if isinstance(answer, Stall):
                cast("asyncio.ReadTransport", talk.writer.transport).pause_reading()
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, Cut):
            talk.writer.close()
            raise _CutError

    def _chosen(self, phase: str, command: str, talk: Talk | None = None) -> Answer:
        for rule in self._rules:
            if rule.phase == phase and rule.matching in command and rule.times != 0:
                rule.times = None if rule.times is None else rule.times - 1
                return rule.answer
        return self._usual(phase, talk)

    def _usual(self, phase: str, talk: Talk | None) -> Answer:
        """Return what is answered without a rule."""
        if phase == "idle":
            return Raw(b"")
        if self.orderly and talk is not None and not _in_order(talk, phase):
            return "503 5.5.1 Bad sequence of commands"
        if phase == "EHLO":
            return greeting("sink.example", *self._offered(talk))
        return _DEFAULTS.get(phase, "502 5.5.2 Unknown command")

    def _offered(self, talk: Talk | None) -> tuple[str, ...]:
        """Return the extensions that are offered in *talk*."""
        encrypts = self._tls is not None and talk is not None and not talk.tls
        return (*self._extensions, "STARTTLS") if encrypts else self._extensions

    def _context(self) -> ssl.SSLContext:
        assert self._tls is not None
        return self._tls
