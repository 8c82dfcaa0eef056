"""DKIM's `relaxed` canonicalization, of header fields and of a body in blocks (RFC 6376 sections 3.4.2 and 3.4.4). Pure.

What it forgives is what relays change: runs of white space, white space at the end of a line, folding, and empty lines at the end.

A block is canonicalized by searches that the standard library does in C, about a millisecond for a megabyte; a regular expression over
ordinary text takes ten.
"""

from __future__ import annotations

import hashlib
import re

_BLANKS = bytes.maketrans(b"\t", b" ")
_LINE_END = b"\r\n"
_FILLER = 64 * 1024
"""Empty lines that are hashed in one go: a body may be megabytes of them."""
_RUN = re.compile(rb"[ \t]+")


def field(name: bytes, value: bytes) -> bytes:
    """Return a header field without the CRLF that ends it: its *name*, and its *value* as it follows the colon, folded or not."""
    return name.lower() + b":" + _RUN.sub(b" ", value.replace(_LINE_END, b"")).strip(b" ")


class BodyHash:
    """The SHA-256 of a canonicalized body, which comes in blocks with borders anywhere; its lines end with CRLF.

    Holds no more than a few octets between two blocks, whatever they are.
    """

    def __init__(self) -> None:
        """Begin at the beginning of a body."""
        self._digest = hashlib.sha256()
        self._empty = 0
        """Line ends behind the last text, which count only if more text follows."""
        self._held = b""
        """White space behind them, which counts only if its line goes on; the CR of a line end that is cut in two may be with it."""
        self._begun = False

    def feed(self, block: bytes) -> None:
        """Take the next octets of the content, as its author wrote it (`smtp_gateway.mail.unstuffed`)."""
        octets = self._held + block
        text = octets.rstrip(b" \t\r\n")
        if text:
            self._line_ends()
            self._digest.update(_reduced(text))
            self._begun = True
        lines, ended, rest = octets[len(text) :].rpartition(_LINE_END)
        self._empty += (lines + ended).count(_LINE_END)
        cut = b"\r" if rest.endswith(b"\r") else b""
        self._held = (b" " if len(rest) > len(cut) else b"") + cut

    def digest(self) -> bytes:
        """Return the hash: of nothing for a body of empty lines, else of lines that all end with CRLF."""
        digest = self._digest.copy()
        if self._begun:
            digest.update(_LINE_END)
        return digest.digest()

    def _line_ends(self) -> None:
        """Hash the line ends that turned out to count."""
        whole, rest = divmod(self._empty, _FILLER)
        for _ in range(whole):
            self._digest.update(_LINE_END * _FILLER)
        self._digest.update(_LINE_END * rest)
        self._empty = 0


def _reduced(text: bytes) -> bytes:
    """Return *text*, which ends in the middle of a line, with single blanks for runs of white space, and none at the ends of lines."""
    text = text.translate(_BLANKS) if b"\t" in text else text
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text.replace(b" \r\n", _LINE_END)
