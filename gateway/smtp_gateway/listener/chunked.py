"""One message's octets in chunks (BDAT, RFC 3030), judged and brought into wire form. No I/O, so every way to cut a message can be tried.

A chunk's octets are counted, not searched for an end, so what they hold is content whatever it looks like: a line that begins with a dot
gets another one before it, and the end of data stands behind the last chunk alone. What leaves the gateway by DATA is then the message
that came, and not one octet of it is taken for an end or a command (SMTP smuggling, CVE-2023-51764 and its siblings). A bare CR or LF is
refused as in DATA, wherever chunks are cut. A last line without its CRLF gets one: to a next hop there is no other end of a line.
"""

from __future__ import annotations

from smtp_gateway.listener.body import IncomingBody
from smtp_gateway.mail.envelope import END_OF_DATA
from smtp_gateway.mail.line_ends import leading_dot

_LINE_END = b"\r\n"
_DOT, _STUFFED = b"\r\n.", b"\r\n.."


class ChunkedBody(IncomingBody):
    """Judges one body that comes in chunks; they may be cut anywhere, within a CRLF as well."""

    __slots__ = ()

    def feed_chunk(self, octets: bytes) -> None:
        """Take the next *octets*."""
        octets = self._kept_back + octets
        # What may be the end of a line is judged with what follows it: a dot behind it is one to stuff.
        end = len(octets) - (2 if octets.endswith(_LINE_END) else 1 if octets.endswith(b"\r") else 0)
        self._kept_back = octets[end:]
        self._take_in_plain(octets[:end])

    def finish(self) -> None:
        """End the message; it is whole then, or refused."""
        ending, self._kept_back = self._kept_back, b""
        self._take_in_plain(ending)
        if self.refusal is None:
            self._hold(END_OF_DATA if ending else _LINE_END + END_OF_DATA)

    def _take_in_plain(self, piece: bytes) -> None:
        dots = piece.count(_DOT) if leading_dot(piece) >= 0 else 0
        self._take_in(piece.replace(_DOT, _STUFFED) if dots else piece, dots)
