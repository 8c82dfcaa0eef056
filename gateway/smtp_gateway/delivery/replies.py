"""Octets from a next hop to replies (RFC 5321 section 4.2): strict, incremental and bounded.

A reply that is not one by the grammar ends the session: guessing what a server meant is how a client and a server come to disagree
about which answer belongs to which command.
"""

from __future__ import annotations

import re

from smtp_gateway.mail.reply import Reply

MAX_LINE = 8192
"""Octets of one line with its CRLF. RFC 5321 section 4.5.3.1.5 asks for 512; servers quote whole addresses and URLs in theirs."""
MAX_LINES = 100
"""Lines of one reply. The longest EHLO replies in use have some thirty."""
MAX_TEXT = 4096
"""Characters of a reply's text that are kept, because each is kept with its message, logged and quoted. Postfix keeps 2048 (line_length_limit)."""

# The second digit is 0 to 5 by the grammar. Servers say 571 and 590 all the same, and it is the first digit that decides (RFC 5321 section
# 4.2.1): taken for another protocol, such an answer about one recipient would keep the mail from all the others, until it expires.
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?=\s|$)")
_UNPRINTABLE = {code: "?" for code in (*range(0x20), 0x7F) if chr(code) != "\t"}


class MalformedReplyError(Exception):
    """What arrived is not an SMTP reply, or is longer than any reply should be."""


class ReplyParser:
    """Collects octets and gives them back as replies."""

    def __init__(self) -> None:
        """Begin without a single octet."""
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._code = 0

    def feed(self, octets: bytes) -> None:
        """Take what arrived.

        Raises `MalformedReplyError` when more piles up than one reply may hold, so that a server cannot fill the memory.
        """
        self._buffer += octets
        if len(self._buffer) > MAX_LINE * MAX_LINES:
            message = "more octets than any reply has"
            raise MalformedReplyError(message)

    def clear(self) -> None:
        """Forget what arrived so far: what was sent in the clear before TLS must not be read after it (RFC 3207 section 5)."""
        self._buffer.clear()
        self._lines.clear()
        self._code = 0

    @property
    def empty(self) -> bool:
        """Whether nothing has arrived that was not read."""
        return not self._buffer and not self._lines

    def next_reply(self) -> Reply | None:
        """Return the next complete reply; None when there is none yet.

        Raises `MalformedReplyError`.
        """
        while (line := self._next_line()) is not None:
            if self._take(line):
                reply = _reply(self._code, self._lines)
                self._lines, self._code = [], 0
                return reply
        return None

    def _next_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", 0, MAX_LINE)
        if end < 0:
            if len(self._buffer) >= MAX_LINE:
                message = "a line is too long"
                raise MalformedReplyError(message)
            return None
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            message = "a line does not end with CRLF"
            raise MalformedReplyError(message)
        return line[:-2]

    def _take(self, line: bytes) -> bool:
        """Add *line* to the reply; tell whether it was its last."""
        match = _LINE.fullmatch(line)
        if match is None or len(self._lines) >= MAX_LINES or self._code not in (0, int(match[1])):
            message = f"not a reply line: {line[:60]!r}"
            raise MalformedReplyError(message)
        self._code = int(match[1])
        self._lines.append((match[3] or b"").decode("utf-8", "replace").translate(_UNPRINTABLE))
        return match[2] != b"-"


def _reply(code: int, lines: list[str]) -> Reply:
    """Build the reply; an enhanced code counts only when its class is the reply's (RFC 2034 section 4), and leaves every line's text."""
    match = _ENHANCED.match(lines[0])
    if match is None or match[1] != str(code)[0]:
        return Reply(code, "", "\n".join(lines)[:MAX_TEXT])
    prefix = match[0]
    return Reply(code, prefix, "\n".join(line.removeprefix(prefix).lstrip() for line in lines)[:MAX_TEXT])
