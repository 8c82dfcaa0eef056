"""A body as its author wrote it: out of wire form, block by block, whatever its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.mail.envelope import END_OF_DATA
from smtp_gateway.mail.line_ends import leading_dot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from smtp_gateway.mail.body import Body

_LINE_END = b"\r\n"


class Unstuffing:
    """Takes the dots away that RFC 5321 section 4.5.2 added, and the end of data. The borders of blocks may be anywhere."""

    def __init__(self) -> None:
        """Begin at the beginning of a line."""
        self._before = _LINE_END
        """The two octets before those held back; a body begins as if a line had ended."""
        self._held = b""
        """The last octets, which may be the end of data."""

    def feed(self, block: bytes) -> bytes:
        """Take the next octets in wire form and return what can be told of the content by now."""
        octets = self._held + block
        known, self._held = octets[: -len(END_OF_DATA)], octets[-len(END_OF_DATA) :]
        joined = self._before + known
        self._before = joined[-len(_LINE_END) :]
        if leading_dot(joined) < 0:
            return known
        return joined.replace(_LINE_END + b".", _LINE_END)[len(_LINE_END) :]


async def content(body: Body) -> AsyncIterator[bytes]:
    """Give *body*'s content in blocks. Raises what reading it raises."""
    unstuffing = Unstuffing()
    if isinstance(body, bytes):
        yield unstuffing.feed(body)
        return
    async for block in body.blocks():
        yield unstuffing.feed(block)
