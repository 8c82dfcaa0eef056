"""A receiving mail server that remembers: each message is a JSON line on disk before its 250.

`python sink_server.py PORT FILE [PORT FOLDER]`. A line holds the envelope and the octets between DATA and the end-of-data line, dots unstuffed.
On the second port, with tls.crt and tls.key in FOLDER, mail is taken under TLS from those alone who authenticate with what FILE.credentials
holds at that moment: a username and a password, on a line each.
For `THROTTLED` seconds after FILE.throttled was touched, mail is put off. Standard library only, and strict: what it cannot read as SMTP it refuses, so that a message recorded is a message sent right.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import ssl
import sys
import time
from pathlib import Path

BUFFER = 1 << 20
THROTTLED = 20
"""Seconds."""


class Session:
    """One client's conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: Path, tls: ssl.SSLContext | None) -> None:
        """Begin with nobody and nothing; with *tls* somebody is demanded."""
        self.reader, self.writer, self.record, self.tls = reader, writer, record, tls
        self.response = ""
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
            await self.say("250-sink", "250-8BITMIME", "250-SMTPUTF8", *self.security(), "250 ENHANCEDSTATUSCODES")
        elif verb == "STARTTLS" and self.tls is not None:
            await self.say("220 2.0.0 Go ahead")
            await self.writer.start_tls(self.tls)
        elif verb == "AUTH" and self.encrypted:
            self.response = argument.removeprefix("PLAIN ")
            await self.say("235 2.7.0 Welcome" if self.welcome else "535 5.7.8 Username and password not accepted")
        elif verb == "MAIL" and not self.welcome:
            await self.say("530 5.7.0 Authentication required")
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

    @property
    def welcome(self) -> bool:
        """Whether mail is taken: nothing is demanded, or what was said is right still."""
        return self.tls is None or self.response == known(self.record)

    @property
    def encrypted(self) -> bool:
        """Whether there is TLS."""
        return self.writer.get_extra_info("ssl_object") is not None

    def security(self) -> list[str]:
        """Return what is offered of it now."""
        if self.tls is None:
            return []
        return ["250-AUTH PLAIN"] if self.encrypted else ["250-STARTTLS"]

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


def known(record: Path) -> str:
    """Return the response of AUTH PLAIN that is right now."""
    username, password = record.with_suffix(".credentials").read_text().split("\n")
    return base64.b64encode(f"\0{username}\0{password}".encode()).decode()


def _path(argument: str) -> str:
    return argument.partition("<")[2].partition(">")[0]


async def listen(port: int, record: Path, tls: ssl.SSLContext | None = None) -> None:
    """Serve *port* from now on, with *tls* to those who authenticate."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await Session(reader, writer, record, tls).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client went away; what it finished is recorded
        finally:
            writer.close()

    await asyncio.start_server(session, "0.0.0.0", port, limit=BUFFER)


def certified(folder: Path) -> ssl.SSLContext:
    """Return the context of a server with the pair in *folder*."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


async def serve(port: int, record: Path, *demanding: str) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if demanding:
        await listen(int(demanding[0]), record, certified(Path(demanding[1])))
    await listen(port, record)
    await stop.wait()
    os._exit(0)  # open sessions have nothing to say any more; everything acknowledged is on the disk


if __name__ == "__main__":
    Path(sys.argv[2]).touch()
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
