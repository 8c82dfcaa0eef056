"""The octets of one session before they are commands: what has arrived and nobody has used, and the lines in it.

A line ends with CRLF or is refused, holds no control characters (a NUL or CR in an argument could end a line elsewhere), and is bounded.
What follows a line or a body stays for the next command, so that pipelined commands (RFC 2920) are answered in order. No I/O.
"""

from __future__ import annotations

import re

from smtp_gateway.mail.reply import Reply

COMMAND_LIMIT = 2048
"""Octets of a command line. RFC 5321 section 4.5.3.1.4 asks for 512 and lets extensions add to it; a path alone may have 256, a
parameter AUTH 500 (RFC 4954 section 3), and Postfix takes 2048."""
AUTH_LIMIT = 12288
"""Octets of a line of an AUTH exchange (RFC 4954 section 4)."""
FAULTS_LIMIT = 10
"""Malformed lines after which the session ends: whoever sends them does not speak SMTP."""

BARE_LF = Reply(500, "5.5.2", "Line does not end with CRLF")
CONTROL_CHARACTER = Reply(500, "5.5.2", "Control character in command")
LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long")
TOO_MANY_FAULTS = Reply(421, "4.7.0", "Too many errors")

_VERB = re.compile(rb"[A-Za-z]{1,16}(?= |\r)")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class LineTooLongError(Exception):
    """A line was longer than any may be; it has been read to its end and forgotten."""


class Inbox:
    """What a client has sent and nobody has used yet."""

    __slots__ = ("_overlong", "octets")

    def __init__(self) -> None:
        """Begin empty."""
        self.octets = b""
        self._overlong = False

    def add(self, octets: bytes) -> None:
        """Put *octets* behind those that are there."""
        self.octets = self.octets + octets if self.octets else octets

    def take(self) -> bytes:
        """Return everything, and hold nothing."""
        octets, self.octets = self.octets, b""
        return octets

    def line(self) -> bytes | None:
        """Take the next line, up to its LF; None while it is still to come.

        Raises `LineTooLongError`. What has arrived of such a line is forgotten at once, so that an endless one takes no memory.
        """
        end = self.octets.find(b"\n") + 1
        if not end:
            if len(self.octets) > AUTH_LIMIT:
                self._overlong, self.octets = True, b""
            return None
        line, self.octets = self.octets[:end], self.octets[end:]
        overlong, self._overlong = self._overlong or end > AUTH_LIMIT, False
        if overlong:
            raise LineTooLongError
        return line

    def forget(self) -> None:
        """Drop everything (RFC 3207 section 4.2)."""
        self.octets = b""
        self._overlong = False


def line_fault(line: bytes) -> Reply | None:
    """Return what is wrong with a line as such; None when it may be a command."""
    if not line.endswith(b"\r\n"):
        return BARE_LF
    return CONTROL_CHARACTER if _CONTROL.search(line, 0, len(line) - 2) else None


def verb_of(line: bytes) -> str:
    """Return the verb of a command line, in upper case; empty when it does not begin with one."""
    found = _VERB.match(line)
    return found[0].decode("ascii").upper() if found else ""
