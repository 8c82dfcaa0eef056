"""The last look at what leaves the gateway: no bare CR or LF, no second end of data, no argument that ends its command early.

Whatever went wrong before (a bug, a damaged file, a changed configuration), nothing that another server could read as a second
message or an extra command goes out. RFC 5321 section 2.3.8 forbids bare CR and LF; SMTP smuggling lives on servers that differ about them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from smtp_gateway.mail.line_ends import leading_dot, only_whole_line_ends

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from smtp_gateway.mail.body import Body

BLOCK = 240 * 1024
"""Octets of a body that are handed to the transport at once: enough to keep a fast peer busy, little to hold for a slow one. Less than
what the allocator maps for itself (`smtp_gateway.allocator`)."""
_END = b"\r\n.\r\n"
_GOES_ON = "a body goes on behind its end of data"
_COMMAND = re.compile(r"[^\x00-\x1f\x7f]*")
_MAILBOX = re.compile(r'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"|[^\s<>"\x00-\x1f\x7f]+)(?:@[^\s<>"\x00-\x1f\x7f]+)?')


class UnsafeOctetsError(Exception):
    """Something about to be sent could be read as more than it is."""


def commands(texts: Iterable[str]) -> bytes:
    """Return command lines as octets, CRLF added to each.

    Raises `UnsafeOctetsError` when one holds a control character.
    """
    if not all(map(_COMMAND.fullmatch, texts)):
        message = "a command holds control characters"
        raise UnsafeOctetsError(message)
    return "".join(f"{text}\r\n" for text in texts).encode("utf-8")


def safe_mailbox(address: str) -> bool:
    """Tell whether *address* can stand between `<` and `>` and mean nothing else; `postmaster` alone may (RFC 5321 section 4.1.1.3)."""
    return _MAILBOX.fullmatch(address) is not None


def check_body(body: bytes) -> None:
    """Return when *body* is in wire form: every line ends with CRLF, and the end of data is at its end and nowhere else.

    Raises `UnsafeOctetsError`.
    """
    check = BodyCheck()
    check.feed(body)
    check.finish()


class BodyCheck:
    """The same for a body that comes in blocks: each is looked at before it is sent. 0.8 ms for a megabyte."""

    def __init__(self) -> None:
        """Begin before the first octet."""
        # As if behind the DATA line, so that an end of data at the very beginning is seen.
        self._before = b"\r\n"

    def feed(self, block: bytes) -> None:
        """Take the next octets. Raises `UnsafeOctetsError`."""
        octets = self._before + block
        dot = leading_dot(octets)
        found = octets.find(_END, dot) if dot >= 0 else dot
        if 0 <= found < len(octets) - len(_END):
            raise UnsafeOctetsError(_GOES_ON)
        # A CR at the border is judged with what follows it.
        whole = octets[:-1] if octets.endswith(b"\r") else octets
        if not only_whole_line_ends(whole):
            message = "a body holds a bare CR or LF"
            raise UnsafeOctetsError(message)
        # Without the LF of a CRLF that is cut in two here: that one has been judged.
        self._before = octets[-len(_END) :].lstrip(b"\n")

    @property
    def ended(self) -> bool:
        """Whether the octets so far end with an end of data."""
        return self._before == _END

    def finish(self) -> None:
        """Return when the body is whole. Raises `UnsafeOctetsError`."""
        if not self.ended:
            message = "a body does not end at its end of data"
            raise UnsafeOctetsError(message)


async def blocks(body: Body) -> AsyncIterator[bytes]:
    """Yield *body* in blocks to be sent; one that is read from the spool is checked on the way.

    Raises `UnsafeOctetsError`, and `DamagedBodyError` before the block that holds the end of data.
    """
    if isinstance(body, bytes):  # checked before the next hop was asked to take it
        for start in range(0, len(body), BLOCK):
            yield body[start : start + BLOCK]
        return
    check, sent = BodyCheck(), 0
    async for block in body.blocks():
        check.feed(block)
        sent += len(block)
        if check.ended and sent < body.size:
            raise UnsafeOctetsError(_GOES_ON)
        yield block
    check.finish()
