"""One message's octets on their way in: found to their end, bounded, and judged. No I/O, so every way to cut a stream can be tried.

The body stays in wire form (`smtp_gateway.mail.envelope`): nothing is unstuffed here and stuffed again on the way out, so no octet can
be got wrong at a border of chunks. It ends at CRLF "." CRLF and at nothing else (RFC 5321 section 4.1.1.4): LF "." LF, LF "." CRLF,
CR "." CR and their like are content, and a body with such content is refused as a whole, because a server further on might take it for
an end and what follows for commands (SMTP smuggling, CVE-2023-51764 and its siblings).

Chunks are judged as they come, so that a large body need not be held: the last octets of a chunk that may be the beginning of the end
are kept back and stand before the next one. No CRLF and no stuffed dot is ever cut by that, so the pieces can be judged one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.mail import reply
from smtp_gateway.mail.envelope import END_OF_DATA
from smtp_gateway.mail.line_ends import leading_dot, only_whole_line_ends

if TYPE_CHECKING:
    from smtp_gateway.intake import Room
    from smtp_gateway.mail.reply import Reply

LINE_LIMIT = 1024 * 1024
"""Octets of one line. RFC 5321 section 4.5.3.1.6 asks for 998 and lets servers take more: programs write whole documents as one line. A line
is never broken here, because that would break its signature, and a next hop that takes less says so itself. Beyond a megabyte nobody writes
mail, and most of what reads it holds a line whole."""
PIECES = 256
"""Pieces that are held apart: each costs some 40 octets more than it holds, and clients choose how small they are."""
_LINE_END = b"\r\n"
_END = _LINE_END + END_OF_DATA
_STUFFED = b"\r\n."


class IncomingBody:
    """Judges one body and holds what has not been taken from it. The memory comes out of *room*, and goes back with `release`."""

    __slots__ = ("_charged", "_content", "_kept_back", "_limit", "_line", "_pieces", "_room", "_spilled", "held", "refusal")

    def __init__(self, limit: int, room: Room) -> None:
        """Accept at most *limit* octets of content (RFC 1870: as they would be without dot stuffing)."""
        self._limit = limit
        self._room = room
        self._charged = 0
        self._spilled = False
        self._pieces: list[bytes] = []
        self._content = 0
        self._line = 0
        """Octets of the line that has not ended yet, once something has spilled."""
        # Seeded with the end of the DATA line, so that an immediate ".CRLF" is found like any other.
        self._kept_back = _LINE_END
        self.held = 0
        """Octets that `take` would return."""
        self.refusal: Reply | None = None
        """Why the body is refused, as soon as that is known: the rest is only swallowed."""

    @property
    def progressing(self) -> bool:
        """Whether what arrives may still be part of a message: what is swallowed beyond the limit may never end."""
        return self._content - len(_LINE_END) <= self._limit

    def feed(self, chunk: bytes) -> bytes | None:
        """Take the next octets; return those behind the end of data, or None while it is still to come."""
        octets = self._kept_back + chunk
        dot = leading_dot(octets)
        # Nearly every chunk has the end as its last octets or no line that begins with a dot at all: nothing is searched twice then.
        found = dot if dot < 0 or (dot + len(_END) == len(octets) and octets.endswith(_END)) else octets.find(_END, dot)
        end = found + len(_LINE_END) if found >= 0 else len(octets) - _beginning_of_end(octets)
        self._take_in(octets[:end], stuffed=0 if dot == found else octets.count(_STUFFED, dot, end))
        if found < 0:
            self._kept_back = octets[end:]
            return None
        if self.refusal is None:
            self._hold(END_OF_DATA)
        return octets[end + len(END_OF_DATA) :]

    def _take_in(self, piece: bytes, stuffed: int) -> None:
        """Judge and hold the next *piece*, in which so many dots are *stuffed*."""
        own = piece if self._content else piece[len(_LINE_END) :]
        self._content += len(piece) - stuffed
        if self.refusal is None:
            refusal = self._judge(piece, len(own))
            if refusal is None:
                self._hold(own)
            else:
                self.refuse(refusal)

    def _judge(self, piece: bytes, octets: int) -> Reply | None:
        if not self.progressing:
            return reply.MESSAGE_TOO_LARGE
        if not only_whole_line_ends(piece):
            return reply.BARE_LINE_ENDING
        if self._spilled:
            return reply.LINE_TOO_LONG if self._overlong(piece) else None
        if not self._room.take(octets):
            return reply.SPOOL_FULL
        self._charged += octets
        return None

    def _overlong(self, piece: bytes) -> bool:
        """Tell whether *piece* makes a line too long. What is read at once is shorter than such a line, so only its first and last can be.

        Asked of what has spilled alone: what is held is shorter as well.
        """
        end = piece.find(b"\n")
        ended = self._line + (end if end >= 0 else len(piece))
        self._line = ended if end < 0 else len(piece) - piece.rfind(b"\n") - 1
        return max(ended, self._line) > LINE_LIMIT + len(b"\r")

    def _hold(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.held += len(piece)
        if len(self._pieces) > PIECES:
            self._pieces = [b"".join(self._pieces)]

    def refuse(self, refusal: Reply) -> None:
        """Refuse the body; the rest is swallowed."""
        self.refusal = refusal
        self._pieces.clear()
        self.held = 0

    def take(self) -> bytes:
        """Return the octets that are held, in wire form, and hold none of them any more."""
        octets = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.held = 0
        return octets

    def spill(self) -> bytes:
        """`take` what is held to write it elsewhere. The room that it took stays taken for what is being written, and no more is."""
        octets = self.take()
        if not self._spilled:
            self._spilled = True
            self._line = len(octets) - octets.rfind(b"\n") - 1
        return octets

    def release(self) -> None:
        """Give the memory back, once the body was put away or refused."""
        self._room.give(self._charged)
        self._charged = 0
        self._pieces.clear()


def _beginning_of_end(octets: bytes) -> int:
    """Return how many octets at the end of *octets* may be the beginning of the end of data."""
    return next((size for size in range(len(_END) - 1, 0, -1) if octets.endswith(_END[:size])), 0)
