"""A receiving mail server that remembers: each message is a JSON line on disk before its 250.

`python sink_server.py PORT FILE`. A line holds the envelope and the octets between DATA and the end-of-data line, dots unstuffed.
For `THROTTLED` seconds after FILE.throttled was touched, mail is put off. Standard library only, and strict: what it cannot read as SMTP it refuses, so that a message recorded is a message sent right.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import time
from pathlib import Path

BUFFER = 1 << 20
THROTTLED = 20
"""Seconds."""


class Session:
    """One client's conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: Path) -> None:
        """Begin with nobody and nothing."""
        self.reader, self.writer, self.record = reader, writer, record
        self.sender: str | None = None
        self.recipients: list[str] = []

    async def run(self) -> None:
        """Answer commands until the client is done."""
        await self.say("220 sink ESMTP")
        while line := await self.reader.readline():
            if not line.endswith(b"\r\n"):
                await self.say("500 lines end with CRLF")
                break
            verb, _, argument = line[:-2].decode("utf-8", "surrogateescape").partition(" ")
            await self.answer(verb.upper(), argument)
            if verb.upper() == "QUIT":
                break

    async def answer(self, verb: str, argument: str) -> None:
        """Do one command."""
        if verb == "EHLO":
            await self.say("250-sink", "250-8BITMIME", "250-SMTPUTF8", "250 ENHANCEDSTATUSCODES")
        elif verb == "MAIL" and throttled(self.record):
            await self.say("451 4.7.1 Slow down")
        elif verb == "MAIL" and argument.upper().startswith("FROM:<"):
            self.sender, self.recipients = _path(argument), []
            await self.say("250 2.1.0 Ok")
        elif verb == "RCPT" and self.sender is not None and argument.upper().startswith("TO:<"):
            self.recipients.append(_path(argument))
            await self.say("250 2.1.5 Ok")
        elif verb == "DATA" and self.recipients:
            await self.data()
        elif verb in {"RSET", "NOOP", "HELO"}:
            await self.say("250 2.0.0 Ok")
        else:
            await self.say("221 2.0.0 Bye" if verb == "QUIT" else "503 5.5.1 Not now")

    async def data(self) -> None:
        """Take one message, and answer once it is on the disk."""
        await self.say("354 Go ahead")
        lines = []
        while (line := await self.reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
        message = {"sender": self.sender, "recipients": self.recipients, "data": base64.b64encode(b"".join(lines)).decode()}
        with self.record.open("a") as file:
            file.write(json.dumps(message) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.sender = None
        await self.say("250 2.0.0 Ok: kept")

    async def say(self, *lines: str) -> None:
        """Send a reply."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self.writer.drain()


def throttled(record: Path) -> bool:
    """Tell whether mail is to be put off."""
    try:
        return time.time() - record.with_suffix(".throttled").stat().st_mtime < THROTTLED
    except FileNotFoundError:
        return False


def _path(argument: str) -> str:
    return argument.partition("<")[2].partition(">")[0]


async def serve(port: int, record: Path) -> None:
    """Serve until SIGTERM."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await Session(reader, writer, record).run()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away; what it finished is recorded
        finally:
            writer.close()

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await asyncio.start_server(session, "0.0.0.0", port, limit=BUFFER):
        await stop.wait()
    os._exit(0)  # open sessions would keep the server's context manager waiting; everything acknowledged is on the disk


if __name__ == "__main__":
    Path(sys.argv[2]).touch()
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
