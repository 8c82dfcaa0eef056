"""The PROXY protocol: what a load balancer says about the client before the client's first octet, versions 1 and 2. Pure.

HAProxy's `proxy-protocol.txt` is the standard. A header says whose connection it is that the proxy forwards; behind it comes what the
client sends, TLS included. `IncomingHeader` therefore says how many octets may be read next (`wanted`) and never asks for one beyond the
header, so that whatever stands behind it is still in the socket for whom it is meant.

A header without an address is no fault: the proxy's own connections (LOCAL, its health checks), clients that it cannot name (UNKNOWN,
AF_UNSPEC) and those of a Unix socket (AF_UNIX). They are served as the proxy itself, as the standard lets a receiver do.

Bounds: version 1 has at most 107 octets, its line's end included (section 2.1); of version 2 at most `LIMIT` are taken. What follows the
addresses there (TLVs, section 2.2) is skipped as a whole.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

TEXT_LIMIT = 107
"""Octets of a header of version 1, CRLF included (section 2.1)."""
LIMIT = 4096
"""Octets of a header of version 2: addresses take 216 at most, TLVs of clouds and of HAProxy some hundreds. nginx takes as many."""
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
"""How version 2 begins (section 2.2)."""
TEXT_SIGNATURE = b"PROXY "
"""How version 1 begins (section 2.1)."""

_NUL_LINE = SIGNATURE.splitlines(keepends=True)[2]
_SHORTEST = 15
"""Octets of `PROXY UNKNOWN CRLF`; every other header is longer."""
_FIXED = 16
"""Octets of version 2 up to and with its length."""
_SPACES = 5
"""Blanks in a line of version 1 that names addresses and ports."""
_LOCAL, _PROXY = 0x20, 0x21
_NO_ADDRESS = (0x00, 0x31)
"""Families and transports (section 2.2) that name no client: AF_UNSPEC, and a stream over AF_UNIX."""
_BLOCKS = {0x11: 4, 0x21: 16}
"""Octets of an address by family and transport: TCP over IPv4, TCP over IPv6."""
_UNIX_BLOCK = 216
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|(?P<family>TCP[46]) (?P<source>[0-9A-Fa-f:.]+) (?P<target>[0-9A-Fa-f:.]+) (?P<port>\d{1,5}) (?P<to>\d{1,5}))\r\n"
)
_PORT_LIMIT = 65535


@dataclass(frozen=True, slots=True)
class Header:
    """What a proxy said."""

    address: str | None = None
    """The client's IP address, IPv4 as such where it came as IPv6; None when the connection is to be taken for the proxy's own."""
    port: int = 0
    """The client's port."""


class HeaderError(Exception):
    """What came is no PROXY header; the message says why, without what came."""


class IncomingHeader:
    """One header as it arrives."""

    __slots__ = ("_octets", "wanted")

    def __init__(self) -> None:
        """Begin before its first octet."""
        self._octets = b""
        self.wanted = _SHORTEST
        """Octets that may be read next: all of them belong to the header."""

    def feed(self, octets: bytes) -> Header | None:
        """Take *octets*, at most as many as are `wanted`; return the header when it is whole. Raises `HeaderError`."""
        self._octets += octets
        if SIGNATURE.startswith(self._octets[: len(SIGNATURE)]):
            return self._binary()
        if TEXT_SIGNATURE.startswith(self._octets[: len(TEXT_SIGNATURE)]):
            return self._text()
        message = "no PROXY header where one is required"
        raise HeaderError(message)

    def _text(self) -> Header | None:
        octets = self._octets
        if b"\n" not in octets:
            self.wanted = _still_to_come(octets)
            if len(octets) + self.wanted > TEXT_LIMIT:
                message = f"longer than {TEXT_LIMIT} octets"
                raise HeaderError(message)
            return None
        found = _LINE.fullmatch(octets)
        if found is None:
            message = "not a line of version 1"
            raise HeaderError(message)
        return Header() if found["family"] is None else _named(found)

    def _binary(self) -> Header | None:
        octets = self._octets
        whole = _FIXED if len(octets) < _FIXED else _FIXED + int.from_bytes(octets[14:16], "big")
        if whole > LIMIT:
            message = f"longer than {LIMIT} octets"
            raise HeaderError(message)
        self.wanted = whole - len(octets)
        return _decoded(octets) if len(octets) >= _FIXED and not self.wanted else None


def claimed(line: bytes) -> bool:
    """Tell whether *line*, taken for a command's, is one of a header: that of version 1, or of version 2 the third, a single NUL."""
    return line[: len(TEXT_SIGNATURE)].upper() == TEXT_SIGNATURE or line == _NUL_LINE


def _still_to_come(octets: bytes) -> int:
    """Return how many octets a line of version 1 that begins with *octets* has left at least, so that nothing behind it is read."""
    if octets.endswith(b"\r"):
        return 1
    if len(octets) < _SHORTEST:
        return _SHORTEST - len(octets)
    missing = 0 if octets.startswith(b"PROXY UNKNOWN") else max(0, _SPACES - octets.count(b" "))
    # Each blank that is missing has at least one octet behind it, and the line CRLF.
    return 2 * missing + octets.endswith(b" ") * bool(missing) + 2


def _named(found: re.Match[bytes]) -> Header:
    source, target = (found[name].decode("ascii") for name in ("source", "target"))
    ports = [found[name] for name in ("port", "to")]
    if any(int(port) > _PORT_LIMIT or (port.startswith(b"0") and port != b"0") for port in ports):
        message = "a port is not one"
        raise HeaderError(message)
    family = ipaddress.IPv4Address if found["family"] == b"TCP4" else ipaddress.IPv6Address
    try:
        family(target)
        return Header(_plain(family(source)), int(ports[0]))
    except ValueError as error:
        message = "an address is none of its family"
        raise HeaderError(message) from error


def _decoded(octets: bytes) -> Header:
    command, family, block = octets[12], octets[13], octets[_FIXED:]
    if command == _LOCAL:
        return Header()
    if command != _PROXY:
        message = "version or command is unknown"
        raise HeaderError(message)
    size = _BLOCKS.get(family, 0)
    if not size and family not in _NO_ADDRESS:
        message = "family or transport is not one of TCP"
        raise HeaderError(message)
    # Two addresses and two ports; of a Unix socket two names.
    if len(block) < (2 * size + 4 if size else _UNIX_BLOCK if family else 0):
        message = "too short for its addresses"
        raise HeaderError(message)
    return Header(_plain(ipaddress.ip_address(block[:size])), int.from_bytes(block[2 * size : 2 * size + 2], "big")) if size else Header()


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
