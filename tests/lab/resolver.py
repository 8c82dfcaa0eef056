"""One question to a name server, by hand: the standard library cannot ask a server of one's choice."""

from __future__ import annotations

import secrets
import socket
import struct

_HEADER = struct.Struct("!6H")
_RECURSION_DESIRED = 0x0100
_CODE = 0x000F
_ADDRESS_QUESTION = struct.pack("!2H", 1, 1)


def resolves(name: str, server: str) -> bool:
    """Tell whether a server knows an address for a name, now."""
    number = secrets.randbits(16)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0) + labels + b"\0" + _ADDRESS_QUESTION
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.3)
        try:
            asking.sendto(question, (server, 53))
            answer = asking.recv(512)
        except OSError:
            return False
    answered, flags, _, count, _, _ = _HEADER.unpack(answer[: _HEADER.size])
    return bool(answered == number and not flags & _CODE and count)
