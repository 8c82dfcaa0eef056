"""The trace header that every relay adds (RFC 5321 section 4.4), and the count of those that a message brought along.

Pure: text in, octets in wire form out. Whatever the client said of itself is reduced to characters that cannot end a line, open a
comment or start another header.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smtp_gateway.mail.envelope import MessageId, Peer

HOPS_LIMIT = 100
"""Trace headers beyond which a message is taken for one that goes in circles: "normally at least 100" (RFC 5321 section 6.3)."""
HELLO_LIMIT = 255
"""Octets of the client's name that are kept: a domain has no more (RFC 5321 section 4.5.3.1.2)."""

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9.\-_:\[\]]")
_TRACE = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)


def received(peer: Peer, hostname: str, message_id: MessageId, now: float, *, smtputf8: bool = False) -> bytes:
    """Return the Received header of a message from *peer* that *hostname* accepts *now*, as lines in wire form.

    The addresses of the envelope are left out: a recipient in a header would tell the others who was in blind copy.
    """
    lines = (
        f"Received: from {sanitised(peer.hello)} ({_literal(peer.address)})",
        f"\tby {hostname} with {protocol(peer, smtputf8=smtputf8)} id {message_id};",
        f"\t{_date(int(now))}",
    )
    return "".join(f"{line}\r\n" for line in lines).encode("ascii", "replace")


@lru_cache(2)
def _date(second: int) -> str:
    """Return the date of *second* (since the epoch) as header fields have it: many messages share one."""
    return format_datetime(datetime.fromtimestamp(second, UTC))


def protocol(peer: Peer, *, smtputf8: bool = False) -> str:
    """Return the keyword of the `with` clause: `ESMTPSA` for a client that authenticated under TLS (RFC 3848, RFC 6531 section 4.3)."""
    base = "UTF8SMTP" if smtputf8 else "ESMTP" if peer.extended else "SMTP"
    return f"{base}{'S' if peer.tls_version else ''}{'A' if peer.login else ''}" if peer.extended else base


def sanitised(hello: str) -> str:
    """Return what the client called itself, with `?` for whatever is not part of a domain or an address literal."""
    return _NOT_A_NAME.sub("?", hello[:HELLO_LIMIT]) or "unknown"


def circles(body: bytes) -> bool:
    """Tell whether *body* has more trace headers than a message has that does not go in circles."""
    head = _head(body)
    # Few have the word so often at all, and counting it takes a tenth of the time.
    return head.lower().count(b"received") > HOPS_LIMIT and len(_TRACE.findall(head)) > HOPS_LIMIT


def hops(body: bytes) -> int:
    """Count the trace headers in the header section of *body* (in wire form)."""
    return len(_TRACE.findall(_head(body)))


def _head(body: bytes) -> bytes:
    end = 0 if body.startswith(b"\r\n") else body.find(b"\r\n\r\n")
    return body[: end if end >= 0 else len(body)]


def _literal(address: str) -> str:
    """Return *address* as an address literal (RFC 5321 section 4.1.3)."""
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
