"""A next hop that means harm or knows no better: ways to answer, for any phase of `tests.support.sink`, that no server should have.

What every client of such a server can be held to is in `Fate`: where each recipient stood after the first attempt, how many copies the
server believes to have taken once it is well again, and how many notices went back to the sender. It is judged from the server's own
record and from the log, never from the inside of the client.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from smtp_gateway.config.model import HopTls, Route, Smarthost
from smtp_gateway.delivery.settings import Timeouts
from tests.support.dispatching import AROUND, config, over, working
from tests.support.sink import EXTENSIONS, Act, Sink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import ssl
    from collections.abc import MutableMapping

    from tests.support.sink import Answer

    Logs = list[MutableMapping[str, Any]]

SENDER = "me@here.example"
RETRY = 30.0
"""Seconds until the second attempt (the default of `config.model.Retry`)."""
QUICK = Timeouts(connect=5, greeting=0.3, hello=0.3, start_tls=0.3, mail=0.3, rcpt=0.3, data=0.3, block=0.3, end_of_data=0.3, goodbye=0.3)
"""For servers that let one wait."""
PATIENT = Timeouts(*[20.0] * 10)


@dataclass(frozen=True)
class Instead(Act):
    """Send *octets*, and believe to have given *reply*: a reply that is lost, or comes later, or is none."""

    octets: bytes = b""
    reply: str = ""

    @property
    def said(self) -> str:
        """What the server believes."""
        return self.reply

    async def perform(self, writer: asyncio.StreamWriter) -> None:
        """Send the octets."""
        writer.write(self.octets)
        await writer.drain()


@dataclass(frozen=True)
class Mute(Instead):
    """Send *octets*, and then nothing more, whatever the client says."""

    async def perform(self, writer: asyncio.StreamWriter) -> None:
        """Send, and wait for the end."""
        await super().perform(writer)
        await asyncio.get_running_loop().create_future()


@dataclass(frozen=True)
class Drip(Instead):
    """Send *octets*, or else *reply*, one at a time and *pause* seconds apart, each in a segment of its own."""

    pause: float = 0.0

    async def perform(self, writer: asyncio.StreamWriter) -> None:
        """Drip."""
        for octet in self.octets or self.reply.encode() + b"\r\n":
            writer.write(bytes((octet,)))
            await writer.drain()
            await asyncio.sleep(self.pause)


@dataclass(frozen=True)
class Endless(Act):
    """Send *octets* for ever, *pause* seconds apart."""

    octets: bytes
    pause: float = 0.0

    async def perform(self, writer: asyncio.StreamWriter) -> None:
        """Send until the client goes."""
        while True:
            writer.write(self.octets)
            await writer.drain()
            await asyncio.sleep(self.pause)


@dataclass(frozen=True)
class Gone(Instead):
    """Send *octets*, close, and believe to have given *reply*."""

    async def perform(self, writer: asyncio.StreamWriter) -> None:
        """Send and close."""
        await super().perform(writer)
        writer.close()


@dataclass(frozen=True)
class Reset(Instead):
    """The same with a TCP reset, which may overtake the octets."""

    async def perform(self, writer: asyncio.StreamWriter) -> None:
        """Send, and close in a way that makes the kernel send RST."""
        await super().perform(writer)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


@dataclass(frozen=True)
class Script:
    """What a server does, to whom, and how it is reached."""

    answers: tuple[tuple[str, Answer, str], ...]
    """Phase, answer, and what the command must contain."""
    pipelining: bool = False
    tls: HopTls = HopTls.NONE
    context: ssl.SSLContext | None = None
    timeouts: Timeouts = PATIENT
    recipients: tuple[str, ...] = ("a@x.example",)

    @property
    def around(self) -> Any:
        """The surroundings of dispatch."""
        return replace(AROUND, timeouts=self.timeouts)

    def sink(self) -> Sink:
        """Return the server, which knows the order of commands as real ones do."""
        sink = Sink(tls=self.context, extensions=(*EXTENSIONS, "PIPELINING") if self.pipelining else EXTENSIONS)
        sink.orderly = True
        for phase, answer, matching in self.answers:
            sink.answer(phase, answer, matching=matching)
        return sink

    def route(self, sink: Sink) -> Route:
        """Return the route to *sink*."""
        return Route(name="default", smarthosts=(Smarthost(host="localhost" if self.context else sink.host, port=sink.port, tls=self.tls),))


@dataclass(frozen=True)
class Fate:
    """What became of one message, recipient by recipient."""

    first: dict[str, str]
    """`delivered`, `deferred` or `bounced` in the first attempt."""
    copies: dict[str, int]
    """How often the server believes to have taken it, in the end."""
    notices: int
    """Notices that the sender has, in the end."""
    replies: dict[str, str] = field(compare=False)
    """What the log quotes for the first attempt."""
    transcripts: list[list[str]] = field(compare=False)
    """The command lines of each session."""


def back(home: Sink) -> Route:
    """Return the route to where the senders are."""
    return over(home, "back", ("here.example",))


async def fate(script: Script, logs: Logs) -> Fate:
    """Put one message into a queue whose next hop follows *script*, let the server be well after the first attempt, and tell all.

    Notices go to another server, which is well all the time.
    """
    async with script.sink() as sink, Sink() as home, working(config(back(home), script.route(sink)), around=script.around) as world:
        message_id = await world.put(*script.recipients, sender=SENDER)
        await eventually(lambda: len(_told(logs, message_id)) == len(script.recipients), within=30, what=f"an outcome under {script}")
        first = _told(logs, message_id)
        sink.forget_rules()
        world.later(RETRY)
        await world.settled()
        copies = {one: sum(one in taken.recipients for taken in sink.taken) for one in script.recipients}
        notices = sum(taken.sender == "" and taken.recipients == (SENDER,) for taken in home.taken)
    replies = {one: line["reply"] for one, line in first.items()}
    return Fate({one: line["event"] for one, line in first.items()}, copies, notices, replies, sink.transcripts)


def _told(logs: Logs, message_id: str) -> dict[str, Any]:
    """Return the first line of the log about each recipient of a message."""
    told: dict[str, Any] = {}
    for line in logs:
        if line["event"] in {"delivered", "deferred", "bounced"} and line["message_id"] == message_id:
            for one in line["to"]:
                told.setdefault(one, line)
    return told


def unforeseen(logs: Logs) -> list[Any]:
    """Return the lines that only a bug writes."""
    return [line for line in logs if line["log_level"] in {"error", "critical"}]
