"""The trace header that every relay adds (RFC 5321 section 4.4), and the count of those that a message brought along.

Pure: text in, octets in wire form out. Whatever the client said of itself is reduced to characters that cannot end a line, open a
comment or start another header.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smtp_gateway.content.origin import Origin
    from smtp_gateway.mail.envelope import Peer

HOPS_LIMIT = 100
"""Trace headers beyond which a message is taken for one that goes in circles: "normally at least 100" (RFC 5321 section 6.3)."""
HELLO_LIMIT = 255
"""Octets of the client's name that are kept: a domain has no more (RFC 5321 section 4.5.3.1.2)."""

ANONYMOUS = "unknown"
"""The name of a client that has told none, or whose name is not told on."""

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9.\-_:\[\]]")
_TRACE = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)


def received(peer: Peer, origin: Origin, *, smtputf8: bool = False, anonymous: bool = False) -> bytes:
    """Return the Received header of a message from *peer*, as lines in wire form; an *anonymous* one says nothing of who the client is.

    The clause `from` must be there (RFC 5321 section 4.4), so that of an anonymous client names it `unknown`: what it calls itself is
    often its address, or a name of its network. The addresses of the envelope are left out: a recipient in a header would tell the
    others who was in blind copy.
    """
    lines = (
        f"Received: from {ANONYMOUS if anonymous else f'{sanitised(peer.hello)} ({_literal(peer.address)})'}",
        f"\tby {origin.hostname} with {protocol(peer, smtputf8=smtputf8)} id {origin.id};",
        f"\t{origin.date}",
    )
    return "".join(f"{line}\r\n" for line in lines).encode("ascii", "replace")


def protocol(peer: Peer, *, smtputf8: bool = False) -> str:
    """Return the keyword of the `with` clause: `ESMTPSA` for a client that authenticated under TLS (RFC 3848, RFC 6531 section 4.3)."""
    base = "UTF8SMTP" if smtputf8 else "ESMTP" if peer.extended else "SMTP"
    return f"{base}{'S' if peer.tls_version else ''}{'A' if peer.login else ''}" if peer.extended else base


def sanitised(hello: str) -> str:
    """Return what the client called itself, with `?` for whatever is not part of a domain or an address literal."""
    return _NOT_A_NAME.sub("?", hello[:HELLO_LIMIT]) or ANONYMOUS


def circles(section: bytes) -> bool:
    """Tell whether a header *section*, in lower case, has more trace headers than that of a message has that does not go in circles."""
    # Few have the word so often at all, and counting it takes a tenth of the time.
    return section.count(b"received") > HOPS_LIMIT and hops(section) > HOPS_LIMIT


def hops(section: bytes) -> int:
    """Count the trace headers in a header *section*."""
    return len(_TRACE.findall(section))


def header_section(head: bytes) -> bytes:
    """Return the header section of the message that begins with *head*: up to its first empty line, or all of it where there is none."""
    end = 0 if head.startswith(b"\r\n") else head.find(b"\r\n\r\n")
    return head[: end if end >= 0 else len(head)]


def _literal(address: str) -> str:
    """Return *address* as an address literal (RFC 5321 section 4.1.3)."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
