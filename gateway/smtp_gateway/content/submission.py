"""What a submission server adds to a message and takes out of it (RFC 6409 section 8): Date, Message-ID, and the blind copies.

Pure: the beginning of a message in wire form in, octets to stand before it and places to leave out. Nothing else changes, and every
field that stays is octet for octet what the client sent, so that its signatures hold.

- Date (RFC 6409 section 8.2) and Message-ID (section 8.3) are added where there are none.
- Bcc and Resent-Bcc are left out: "the Bcc: line is removed even though all of the recipients are sent a copy" (RFC 5322 section 3.6.3,
  and section 3.6.6 for the second). Postfix drops both as well (`message_drop_headers`), and no signature should cover them (RFC 6376
  section 5.4.1).

A message need not be as RFC 5322 wants it. Its header section ends at the empty line or at the first line that is neither a field nor
the continuation of one, as Postfix reads it: whatever stands behind that is text, and is not touched. A text that begins without any
field gets an empty line before it, because it would otherwise be part of the trace header that is put in front, or be taken for fields.

Only the first `HEAD_LIMIT` octets are looked at, because a large message is on its way to the disk while it arrives; a header section that
is longer is refused, because a blind copy beyond the limit would be told to everyone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.mail.envelope import END_OF_DATA
from smtp_gateway.mail.reply import Reply

if TYPE_CHECKING:
    from smtp_gateway.content.origin import Origin

HEAD_LIMIT = 256 * 1024
"""Octets that a header section may have: what one connection holds before the rest goes to the disk. Postfix looks at 100 KiB
(`header_size_limit`), Exim refuses beyond 1 MiB (`header_maxsize`)."""
HEADERS_TOO_LONG = Reply(552, "5.3.4", f"Header section exceeds {HEAD_LIMIT // 1024} KiB")

LONGEST_LINE = 998
"""Octets of a line (RFC 5322 section 2.1.1): what has more and no colon yet will not be a field's name."""

_NAME = rb"[!-9;-~]+[ \t]*:"
"""A field's name and its colon (RFC 5322 section 2.2), with blanks between them as in section 4.5."""
_CONTINUED = rb"[^\r]*\r\n(?:[ \t][^\r]*\r\n)*"
"""The rest of a field: its line, and those that begin with a blank (section 2.2.3)."""
_FIELD = re.compile(_NAME)
_FIELDS = re.compile(rb"(?:>?From [^\r]*\r\n)?(?:" + _NAME + _CONTINUED + rb")*")
"""Fields, behind the line that a mailbox file has before each message, which some programs leave there."""
_BLIND = re.compile(rb"^(?:resent-)?bcc[ \t]*:" + _CONTINUED, re.IGNORECASE | re.MULTILINE)
_DATE = re.compile(rb"^date[ \t]*:", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID = re.compile(rb"^message-id[ \t]*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Changes:
    """What is done to one message."""

    before: bytes = b""
    """Lines to stand before it, behind the trace header."""
    without: tuple[slice, ...] = ()
    """Places to leave out, in order."""

    def apply(self, head: bytes) -> bytes:
        """Return *head*, the beginning of the message, without what is left out."""
        if not self.without:
            return head
        starts = (0, *(each.stop for each in self.without))
        ends = (*(each.start for each in self.without), len(head))
        return b"".join(head[start:end] for start, end in zip(starts, ends, strict=True))


AS_IT_IS = Changes()
"""Nothing: what most messages need."""


def usual(head: bytes, section: bytes) -> bool:
    """Tell whether the message that begins with *head* plainly needs nothing; *section* is its header section in lower case.

    Three searches in what is lowered anyway take a tenth of the time in which fields are taken apart.
    """
    return (
        b"\ndate:" in section
        and b"\nmessage-id:" in section
        and b"bcc" not in section
        and len(section) <= HEAD_LIMIT - len(b"\r\n\r\n")
        and _FIELD.match(head) is not None
    )


def submitted(head: bytes, section: int, origin: Origin) -> Changes | Reply:
    """Return what is done to a message that a client with a login submits, or why it is refused.

    *head* is the message in wire form, or its beginning: more than `HEAD_LIMIT` octets of it then. Its first empty line is at *section*.
    """
    fields = _fields(head)
    if fields is None:
        return HEADERS_TOO_LONG
    # What looks like one behind a malformed line counts too: some readers find it there, and two are worse than one.
    looked_at = section + len(b"\r\n") if fields else 0
    added = b""
    if not _DATE.search(head, 0, looked_at):
        added += f"Date: {origin.date}\r\n".encode("ascii", "replace")
    if not _MESSAGE_ID.search(head, 0, looked_at):
        added += f"Message-ID: <{origin.id}@{origin.hostname}>\r\n".encode("ascii", "replace")
    blind = tuple(slice(*found.span()) for found in _BLIND.finditer(head, 0, fields))
    return Changes(added + _separation(head, fields), blind)


def relayed(head: bytes) -> Changes:
    """Return what is done to a message from a client without a login: its fields stay as they are.

    A server that relays adds its trace and mends nothing (RFC 5321 section 6.4).
    """
    return AS_IT_IS if _FIELD.match(head) else Changes(_separation(head, _end(head)))


def _fields(head: bytes) -> int | None:
    """Return where the fields of *head* end; None when that is not within `HEAD_LIMIT`."""
    end = _end(head)
    rest = head[end:HEAD_LIMIT]
    if len(head) <= HEAD_LIMIT or b"\r\n" in rest:
        return end
    continued = end > 0 and rest.startswith((b" ", b"\t"))
    return None if continued or len(rest) <= LONGEST_LINE or _FIELD.match(rest) else end


def _end(head: bytes) -> int:
    found = _FIELDS.match(head, 0, HEAD_LIMIT)
    return found.end() if found else 0


def _separation(head: bytes, fields: int) -> bytes:
    """Return the empty line that a text without any field lacks."""
    return b"" if fields or head.startswith(b"\r\n") or head == END_OF_DATA else b"\r\n"
