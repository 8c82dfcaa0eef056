"""The octets of one session as command lines and bodies: what aiosmtpd's command loop reads from.

aiosmtpd reads its lines with `readuntil()` from a `StreamReader`, which ends a line at a bare LF and cannot give octets back that were
read too far. `CommandReader` stands in the stream's place with a buffer of its own: lines end with CRLF or are refused, hold no control
characters (a NUL or CR in an argument could end a line elsewhere), and are bounded; a body is taken in chunks and what follows it stays
for the next command, so that pipelined commands (RFC 2920) are answered in order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from smtp_gateway.mail.reply import Reply

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from smtp_gateway.listener.body import IncomingBody

COMMAND_LIMIT = 2048
"""Octets of a command line. RFC 5321 section 4.5.3.1.4 asks for 512 and lets extensions add to it; a path alone may have 256, a
parameter AUTH 500 (RFC 4954 section 3), and Postfix takes 2048."""
AUTH_LIMIT = 12288
"""Octets of a line of an AUTH exchange (RFC 4954 section 4)."""
CHUNK = 65536
"""Octets asked of the stream at a time."""
PROGRESS = 16 * 1024
"""Octets of a body that count as progress. With the session's 300 s that is 55 octets a second: slower than any link, faster than a
client that only holds a session. Octets that are swallowed are no progress, so that an endless body ends."""
FAULTS_LIMIT = 10
"""Malformed lines after which the session ends: whoever sends them does not speak SMTP."""

BARE_LF = Reply(500, "5.5.2", "Line does not end with CRLF")
CONTROL_CHARACTER = Reply(500, "5.5.2", "Control character in command")
LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long")
TOO_MANY_FAULTS = Reply(421, "4.7.0", "Too many errors")

_VERB = re.compile(rb"[A-Za-z]{1,16}(?= |\r)")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class PeerGoneError(ConnectionResetError):
    """The session is over; of the kind that aiosmtpd's loop ends on."""


class LineTooLongError(Exception):
    """A line was longer than any may be; it has been read to its end and forgotten."""


class Dialogue(Protocol):
    """The session, as far as a reader needs it."""

    def before_command(self) -> None:
        """End the session when it should not take another command. Raises `PeerGoneError`."""

    async def took(self, line: bytes) -> bool:
        """Answer a well-formed line if it is one of the usual ones; tell whether it was."""

    async def drain(self) -> None:
        """Wait until the client has read most of its replies, so that one that reads none cannot fill the memory with them."""

    async def refuse_line(self, reply: Reply) -> None:
        """Answer a line that never became a command."""


class CommandReader:
    """Reads one session."""

    def __init__(self, stream: asyncio.StreamReader, dialogue: Dialogue) -> None:
        """Read from *stream* on behalf of *dialogue*."""
        self._stream = stream
        self._dialogue = dialogue
        self._buffer = bytearray()
        self._faults = 0
        self.verb = ""
        """The verb of the last command, in upper case; empty when it was none."""
        self.idle = False
        """Whether the session waits for a command and none is on its way."""

    async def readuntil(self) -> bytes:
        """Return the next well-formed command line that the session did not answer itself, CRLF included. Raises `PeerGoneError`."""
        while True:
            self._dialogue.before_command()
            try:
                line = await self._command()
                fault = line_fault(line)
            except LineTooLongError:
                line, fault = b"", LINE_TOO_LONG
            self.verb = verb_of(line)
            if fault is not None:
                await self._refuse(fault)
            elif not await self._dialogue.took(line):
                return line

    async def _command(self) -> bytes:
        self.idle = True
        try:
            return await self.line()
        finally:
            self.idle = False

    async def _refuse(self, fault: Reply) -> None:
        self._faults += 1
        if self._faults >= FAULTS_LIMIT:
            await self._dialogue.refuse_line(TOO_MANY_FAULTS)
            raise PeerGoneError
        await self._dialogue.refuse_line(fault)

    async def line(self) -> bytes:
        """Return the next line, up to its LF. Raises `LineTooLongError` or `PeerGoneError`."""
        searched, overlong = 0, False
        while (end := self._buffer.find(b"\n", searched)) < 0:
            if len(self._buffer) > AUTH_LIMIT:
                overlong = True
                self._buffer.clear()
            searched = len(self._buffer)
            self._buffer += await self._chunk()
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if overlong or len(line) > AUTH_LIMIT:
            raise LineTooLongError
        return line

    async def body(self, incoming: IncomingBody, progress: Callable[[], None]) -> None:
        """Feed *incoming* until it has found its end, and tell of *progress* now and then. Raises `PeerGoneError`."""
        rest, silent = incoming.feed(self._take()), 0
        while rest is None:
            chunk = await self._chunk()
            rest = incoming.feed(chunk)
            silent += len(chunk)
            if silent >= PROGRESS and not incoming.refused:
                silent = 0
                progress()
        self._buffer += rest

    def forget(self) -> None:
        """Drop everything that was received and not yet used (RFC 3207 section 4.2)."""
        self._buffer.clear()
        # The stream's own buffer is private, and aiosmtpd itself reaches into it for the same purpose; a test asserts that it exists.
        self._stream._buffer.clear()  # type: ignore[attr-defined]  # noqa: SLF001 private in typeshed too; see above

    async def _chunk(self) -> bytes:
        await self._dialogue.drain()
        chunk = await self._stream.read(CHUNK)
        if not chunk:
            raise PeerGoneError
        return chunk

    def _take(self) -> bytes:
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken


def line_fault(line: bytes) -> Reply | None:
    """Return what is wrong with a line as such; None when it may be a command."""
    if not line.endswith(b"\r\n"):
        return BARE_LF
    return CONTROL_CHARACTER if _CONTROL.search(line, 0, len(line) - 2) else None


def verb_of(line: bytes) -> str:
    """Return the verb of a command line, in upper case; empty when it does not begin with one."""
    found = _VERB.match(line)
    return found[0].decode("ascii").upper() if found else ""
