"""Octets from a next hop to replies (RFC 5321 section 4.2): strict, incremental and bounded.

A reply that is not one by the grammar ends the session: guessing what a server meant is how a client and a server come to disagree
about which answer belongs to which command.
"""

from __future__ import annotations

import re
from functools import lru_cache

from smtp_gateway.mail.reply import Reply

MAX_LINE = 8192
"""Octets of one line with its CRLF. RFC 5321 section 4.5.3.1.5 asks for 512; servers quote whole addresses and URLs in theirs."""
MAX_LINES = 100
"""Lines of one reply. The longest EHLO replies in use have some thirty."""
MAX_TEXT = 4096
"""Characters of a reply's text that are kept, because each is kept with its message, logged and quoted. Postfix keeps 2048 (line_length_limit)."""

_USUAL = 100
"""Octets of a reply that is worth remembering."""

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
        self._octets = b""
        self._lines: list[bytes] = []

    def feed(self, octets: bytes) -> None:
        """Take what arrived.

        Raises `MalformedReplyError` when more piles up than one reply may hold, so that a server cannot fill the memory.
        """
        self._octets = self._octets + octets if self._octets else octets
        if len(self._octets) > MAX_LINE * MAX_LINES:
            message = "more octets than any reply has"
            raise MalformedReplyError(message)

    def clear(self) -> None:
        """Forget what arrived so far: what was sent in the clear before TLS must not be read after it (RFC 3207 section 5)."""
        self._octets = b""
        self._lines.clear()

    @property
    def empty(self) -> bool:
        """Whether nothing has arrived that was not read."""
        return not self._octets and not self._lines

    def next_reply(self) -> Reply | None:
        """Return the next complete reply; None when there is none yet.

        Raises `MalformedReplyError`.
        """
        while self._octets and (line := self._next_line()) is not None:
            if not self._lines and line[3:4] != b"-" and len(line) <= _USUAL:
                return _usual((line,))
            self._lines.append(line)
            if len(self._lines) > MAX_LINES:
                message = "more lines than any reply has"
                raise MalformedReplyError(message)
            if line[3:4] != b"-":
                lines, self._lines = tuple(self._lines), []
                return _reply(lines)
            _parts(line)  # what is wrong with a line is found out with the line, not after a hundred more
        return None

    def _next_line(self) -> bytes | None:
        line, end, rest = self._octets.partition(b"\n")
        if len(line) >= MAX_LINE:
            message = "a line is too long"
            raise MalformedReplyError(message)
        if not end:
            return None
        self._octets = rest
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            message = "a line does not end with CRLF"
            raise MalformedReplyError(message)
        return line[:-1]


def _reply(lines: tuple[bytes, ...]) -> Reply:
    """Build the reply; an enhanced code counts only when its class is the reply's (RFC 2034 section 4), and leaves every line's text.

    Raises `MalformedReplyError`.
    """
    parts = [_parts(line) for line in lines]
    code = parts[0][0]
    if any(other != code for other, _ in parts):
        message = f"a reply with two codes: {code} and another"
        raise MalformedReplyError(message)
    texts = [text for _, text in parts]
    match = _ENHANCED.match(texts[0])
    if match is None or match[1] != str(code)[0]:
        return Reply(code, "", "\n".join(texts)[:MAX_TEXT])
    prefix = match[0]
    return Reply(code, prefix, "\n".join(text.removeprefix(prefix).lstrip() for text in texts)[:MAX_TEXT])


_usual = lru_cache(maxsize=512)(_reply)
"""The same, remembered: a next hop says the same few things all the time."""


def _parts(line: bytes) -> tuple[int, str]:
    """Return the code and the text of one line. Raises `MalformedReplyError`."""
    match = _LINE.fullmatch(line)
    if match is None:
        message = f"not a reply line: {line[:60]!r}"
        raise MalformedReplyError(message)
    return int(match[1]), (match[3] or b"").decode("utf-8", "replace").translate(_UNPRINTABLE)
