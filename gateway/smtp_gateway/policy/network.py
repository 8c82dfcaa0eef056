"""The network that a client is counted by: its IPv4 address, or the /64 of its IPv6 address, which is what one subscriber has (RFC 6177)."""

from __future__ import annotations

import ipaddress

_OCTETS = 8
"""Octets of an IPv6 address that are its network's."""


def network_of(address: str) -> str:
    """Return the client network of *address*, an IP address with a zone or without one."""
    if ":" not in address:
        return address
    octets = ipaddress.IPv6Address(address.partition("%")[0]).packed
    return str(ipaddress.IPv6Address(octets[:_OCTETS].ljust(16, b"\0")))
