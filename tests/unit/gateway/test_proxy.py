"""PROXY headers, as the standard has them, as they are cut on their way, and as they should not be."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.listener.proxy import LIMIT, SIGNATURE, TEXT_LIMIT, Header, HeaderError, IncomingHeader, claimed

BEHIND = b"EHLO client.example\r\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6, UDP4, UNIX = 0x11, 0x21, 0x12, 0x31
BLOCK4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 51234, 25)
TLVS = b"\x03\x00\x04\xde\xad\xbe\xef" + b"\xea\x00\x16\x01vpce-08d2bf15fac5001c9"


def binary(block: bytes = BLOCK4, family: int = TCP4, command: int = PROXY) -> bytes:
    """Return a header of version 2."""
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(block)) + block


def read(stream: bytes, sizes: list[int] | None = None) -> tuple[Header | None, bytes]:
    """Read a header as a socket is read, so many octets at a time as *sizes* say; return it and what is left behind it."""
    incoming, cuts = IncomingHeader(), iter(sizes or [])
    while stream:
        size = min(incoming.wanted, next(cuts, LIMIT))
        header = incoming.feed(stream[:size])
        stream = stream[size:]
        if header is not None:
            return header, stream
    return None, stream


@pytest.mark.parametrize(
    ("octets", "header"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 25\r\n", Header("192.0.2.7", 51234)),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 0 1\r\n", Header("1.1.1.1", 0)),
        (b"PROXY TCP6 2001:DB8::7 :: 51234 25\r\n", Header("2001:db8::7", 51234)),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 51234 25\r\n", Header("192.0.2.7", 51234)),
        (
            b"PROXY TCP6 " + b" ".join([b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] * 2) + b" 65535 65535\r\n",
            Header("ffff:" * 7 + "ffff", 65535),
        ),
        (b"PROXY UNKNOWN\r\n", Header()),
        (b"PROXY UNKNOWN " + b"x" * (TEXT_LIMIT - 16) + b"\r\n", Header()),
        (binary(), Header("192.0.2.7", 51234)),
        (binary(BLOCK4 + TLVS), Header("192.0.2.7", 51234)),
        (binary(BLOCK4 + b"\x04\x0f\xf1" + b"x" * (LIMIT - 31)), Header("192.0.2.7", 51234)),
        (binary(ipaddress.ip_address("2001:db8::7").packed * 2 + b"\xc8\x22\x00\x19", TCP6), Header("2001:db8::7", 51234)),
        (binary(ipaddress.ip_address("::ffff:192.0.2.7").packed * 2 + b"\xc8\x22\x00\x19", TCP6), Header("192.0.2.7", 51234)),
        (binary(b"", 0, LOCAL), Header()),
        (binary(BLOCK4, TCP4, LOCAL), Header()),
        (binary(b"", 0), Header()),
        (binary(b"\0" * 216, UNIX), Header()),
    ],
)
def test_what_the_standard_allows_is_understood(octets: bytes, header: Header) -> None:
    """Both versions, with and without addresses, and what the client sends stays untouched, however short."""
    for behind in (b"", b"\r", BEHIND):
        assert read(octets + behind) == (header, behind)
        assert read(octets + behind, [1] * (len(octets) + 1)) == (header, behind)


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"EHLO client.example\r\n", "no PROXY header"),
        (b"proxy TCP4 1.1.1.1 2.2.2.2 1 1\r\n", "no PROXY header"),
        (b"\x16\x03\x01\x02\x00", "no PROXY header"),
        (b"\r\n\r\nEHLO", "no PROXY header"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", "not a line"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 1 1\r\n", "not a line"),
        (b"PROXY TCP4  1.1.1.1 2.2.2.2 1 1\r\n", "not a line"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 1\n", "not a line"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 1\r\r\n", "not a line"),
        (b"PROXY \nTCP4 1.1.1.1 2.2.2.2 1 1\r\n", "not a line"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", "not a line"),
        (b"PROXY UDP4 1.1.1.1 2.2.2.2 1 1\r\n", "not a line"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 65536 1\r\n", "a port"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 01\r\n", "a port"),
        (b"PROXY TCP4 1.1.1.01 2.2.2.2 1 1\r\n", "an address"),
        (b"PROXY TCP4 1.1.1.256 2.2.2.2 1 1\r\n", "an address"),
        (b"PROXY TCP4 ::1 2.2.2.2 1 1\r\n", "an address"),
        (b"PROXY TCP6 1.1.1.1 ::1 1 1\r\n", "an address"),
        (b"PROXY TCP4 1.1.1.1 2.2.2 1 1\r\n", "an address"),
        (b"PROXY UNKNOWN " + b"x" * (TEXT_LIMIT - 15) + b"\r\n", "longer than 107"),
        (b"PROXY " + b"x" * 200, "longer than 107"),
        (binary(b"x" * (LIMIT - 15)), "longer than 4096"),
        (binary(BLOCK4[:-1]), "too short"),
        (binary(BLOCK4, TCP6), "too short"),
        (binary(b"\0" * 215, UNIX), "too short"),
        (binary(BLOCK4, UDP4), "family or transport"),
        (binary(BLOCK4, 0x41), "family or transport"),
        (binary(command=0x22), "version or command"),
        (binary(command=0x11), "version or command"),
    ],
)
def test_what_the_standard_does_not_allow_is_refused(octets: bytes, said: str) -> None:
    """With a reason, and however it is cut."""
    with pytest.raises(HeaderError, match=said):
        read(octets)
    with pytest.raises(HeaderError, match=said):
        read(octets, [1] * len(octets))


PORTS = st.integers(0, 65535)
LINES = st.builds(
    lambda source, target, ports: (
        f"PROXY TCP{source.version} {source} {target} {ports[0]} {ports[1]}\r\n".encode(),
        Header(str(getattr(source, "ipv4_mapped", None) or source), ports[0]),
    ),
    st.shared(st.ip_addresses(), key="source"),
    st.shared(st.ip_addresses(), key="source").flatmap(lambda source: st.ip_addresses(v=source.version)),
    st.tuples(PORTS, PORTS),
)
BLOCKS = st.builds(
    lambda source, port, tlvs: (
        binary(source.packed * 2 + struct.pack("!HH", port, 25) + tlvs, TCP4 if source.version == 4 else TCP6),
        Header(str(getattr(source, "ipv4_mapped", None) or source), port),
    ),
    st.ip_addresses(),
    PORTS,
    st.binary(max_size=300),
)


@given(st.one_of(LINES, BLOCKS), st.binary(max_size=40), st.lists(st.integers(1, 20), max_size=200))
def test_no_cut_changes_what_is_read(sent: tuple[bytes, Header], behind: bytes, sizes: list[int]) -> None:
    """Every header, whatever stands behind it and however it arrives, is read whole, and not one octet beyond it."""
    octets, header = sent
    assert read(octets + behind, sizes) == (header, behind)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(lambda rest: b"PROXY " + rest),
        st.binary(max_size=40).map(lambda rest: SIGNATURE + rest),
    )
)
def test_garbage_is_read_to_a_bound(octets: bytes) -> None:
    """It is a header, or refused, or still short of one: never another error, and never more than the bound."""
    try:
        header, _ = read(octets, [1] * len(octets))
    except HeaderError:
        return
    assert header is not None or len(octets) <= LIMIT


@pytest.mark.parametrize(
    ("octets", "is_one"),
    [
        (b"PROXY UNKNOWN\r\n", True),
        (b"proxy \r\n", True),
        (b"\x00\r\n", True),
        (b"PROXY\r\n", False),
        (b"PROXYING\r\n", False),
        (b"\r\n", False),
    ],
)
def test_a_header_is_recognised_where_none_is_expected(octets: bytes, is_one: bool) -> None:  # noqa: FBT001 a column of the table
    """In either version, by one line of it."""
    assert claimed(octets) is is_one
