"""DKIM signatures (RFC 6376; RFC 8463 for Ed25519): the field that says who vouches for a message, and what for.

`c=relaxed/relaxed`, because relays fold and trim, and a signature that breaks by it is worth nothing. No `l=`: what is appended behind a
signed length would count as signed (RFC 6376 section 8.2). No `x=`: it is no defence against replay, as section 3.5 says, and
mail that a receiver keeps waiting for days would arrive unsigned. No `i=`: it would be `@` and the domain, which is its default.
`t=` is when the message was accepted, so that a message has the same signature at each attempt: both algorithms are deterministic.

Which fields are signed is `OVERSIGNED` and `SIGNED`. Trace fields and those of other verifiers are not, nor is what next hops change
(section 5.4.1). Pure.
"""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice

from smtp_gateway.content import relaxed

OVERSIGNED = (
    "From",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
)
"""Fields of which no other may be added either: each is named once more than it is there (RFC 6376 section 5.4.2).

RFC 6376 section 5.4.1 recommends those that "most clearly are considered to be content", and section 8.15 this defence against a second
From or Subject that is shown instead. Message-ID and the MIME fields are added, as rspamd has them in its `sign_headers`: who may change
how the text is decoded may change what is read.
"""
SIGNED = (
    "Sender",
    "In-Reply-To",
    "References",
    "Resent-Date",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Message-ID",
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Auto-Submitted",
)
"""Fields that are signed where they are there: the rest of RFC 6376 section 5.4.1. `List-Unsubscribe-Post` must be (RFC 8058 section 4)."""
WIDTH = 72
"""Characters of a line of ours: RFC 5322 section 2.1.1 recommends at most 78."""
MOST = 200
"""Fields of these kinds in a message that is signed. One of mail's has some twenty; each costs time in the event loop."""

_FIELD = re.compile(
    rb"^(" + "|".join((*OVERSIGNED, *SIGNED)).encode() + rb")[ \t]*+:([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)\r\n", re.IGNORECASE | re.MULTILINE
)
_NAME = "DKIM-Signature"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature before it is signed."""

    domain: str
    selector: str
    algorithm: str
    """What `a=` says."""
    signed_at: int
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A signature's field without its value, and what the value signs."""

    field: str
    octets: bytes

    def signed(self, value: bytes) -> bytes:
        """Return the whole field, in wire form, with *value* as its signature."""
        return f"{self.field}{_folded(base64.b64encode(value).decode())}\r\n".encode("ascii")


class Section:
    """A header section that is to be signed, once or several times."""

    def __init__(self, section: bytes) -> None:
        """Read *section*: lines with CRLF, without the empty line that ends it."""
        self._fields: dict[str, list[bytes]] = defaultdict(list)
        found = list(islice(_FIELD.finditer(section), MOST + 1))
        self.signable = len(found) <= MOST
        """Whether it has no more than `MOST` fields to sign."""
        for each in found:
            self._fields[each[1].decode("ascii").lower()].append(relaxed.field(each[1], each[2]))

    def unsigned(self, signature: Signature, body_hash: bytes) -> Unsigned:
        """Return the field of *signature* over this section and a body whose hash is *body_hash*."""
        names = self._names()
        field = (
            f"{_NAME}: v=1; a={signature.algorithm}; c=relaxed/relaxed;\r\n"
            f"\td={signature.domain};\r\n"
            f"\ts={signature.selector}; t={signature.signed_at};\r\n"
            f"\th={_listed(names)};\r\n"
            f"\tbh={base64.b64encode(body_hash).decode()};\r\n"
            "\tb="
        )
        own = relaxed.field(_NAME.encode(), field.partition(":")[2].encode("ascii"))
        return Unsigned(field, b"".join(one + b"\r\n" for one in self._instances(names)) + own)

    def _names(self) -> list[str]:
        once_more = [name for name in OVERSIGNED for _ in range(len(self._fields.get(name.lower(), ())) + 1)]
        return once_more + [name for name in SIGNED for _ in self._fields.get(name.lower(), ())]

    def _instances(self, names: list[str]) -> list[bytes]:
        """Return the fields that *names* mean: of equal ones the last first, and nothing for one that is not there (section 5.4.2)."""
        left = {name: list(fields) for name, fields in self._fields.items()}
        return [left[name.lower()].pop() for name in names if left.get(name.lower())]


def _listed(names: list[str]) -> str:
    """Return *names* with colons between them, folded behind a colon (section 3.5, `h=`)."""
    lines = [""]
    for name in names:
        piece = f"{name}:"
        if len(lines[-1]) + len(piece) > WIDTH:
            lines.append("")
        lines[-1] += piece
    return "\r\n\t".join(lines).removesuffix(":")


def _folded(value: str) -> str:
    """Return Base64 in lines; white space in it does not count (section 3.5, `b=`)."""
    return "\r\n\t".join(value[at : at + WIDTH] for at in range(0, len(value), WIDTH))
