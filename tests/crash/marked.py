"""Messages that say who they are: what was sent is known again, octet for octet, wherever it is found.

A client writes them, a next hop and a queue hold them with the gateway's trace header before them, and a notice returns their header section.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

DOMAIN = "x.example"
SENDER = "me@here.example"
LARGE = 300_000
"""Octets of a large message: its body is in a file of its own."""
REFUSED, LATER = "never", "later"
"""How the names of recipients begin that the next hop refuses for good, or at first."""
_MARKER = re.compile(rb"^X-Marker: (\S+)\r\n", re.MULTILINE)
_DIGEST = re.compile(rb"^X-Digest: (\S+)\r\n", re.MULTILINE)
_FAILED = re.compile(rb"^Final-Recipient: rfc822; (\S+)\r\n", re.MULTILINE)

Owed = tuple[str, str]
"""A marker and a recipient: what one acknowledgement is about."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What a body says of itself."""

    marker: str
    intact: bool
    """Whether what follows the header fields is what the digest among them was made of."""
    returned: tuple[str, ...] = ()
    """In a notice: the recipients that failed."""

    def owed(self, recipients: tuple[str, ...]) -> frozenset[Owed]:
        """Return what this message settles when *recipients* have it, or what it returns."""
        return frozenset((self.marker, one) for one in self.returned or recipients)


def compose(marker: str, size: int) -> bytes:
    """Return the content of a message of some *size* octets: lines that begin with dots among them, none like another message's."""
    lines = [f".{marker} {number} ".ljust(900, "x") for number in range(size // 900 + 1)]
    text = "".join(f"{line}\r\n" for line in lines).encode()
    digest = hashlib.sha256(text).hexdigest()
    return f"X-Marker: {marker}\r\nX-Digest: {digest}\r\nSubject: a marked message\r\n\r\n".encode() + text


def read(content: bytes) -> Marked:
    """Read a message that `compose` wrote and a gateway relayed, or a notice about one."""
    marker, digest = _MARKER.search(content), _DIGEST.search(content)
    assert marker is not None, content[:500]
    assert digest is not None, content[:500]
    returned = tuple(address.decode() for address in _FAILED.findall(content))
    text = content[content.index(b"\r\n\r\n") + 4 :]
    intact = bool(returned) or hashlib.sha256(text).hexdigest() == digest[1].decode()
    return Marked(marker[1].decode(), intact, returned)


def unstuffed(wire: bytes) -> bytes:
    """Return the content of a body in wire form: without the end of data and the dots that are doubled (RFC 5321 section 4.5.2)."""
    return wire.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
