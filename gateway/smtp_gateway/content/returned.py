"""The third part of a notice: what comes back of the original, by RET (RFC 3461 section 4.3 and 6.2).

The header section as far as `HEADERS_LIMIT`; the whole message where RET=FULL asks for it, as far as `FULL_LIMIT`, in notices of failure. A
message that could make the notice fail comes back as its header section too: one with a line longer than SMTP allows, with a NUL, or with
octets in its header section that are neither ASCII nor, where it was sent with SMTPUTF8, UTF-8. Header sections in UTF-8 have types of their own (RFC 6533 section 4), and are encoded where the notice itself goes without SMTPUTF8.
"""

from __future__ import annotations

import quopri
from typing import TYPE_CHECKING

from smtp_gateway.mail.envelope import END_OF_DATA

if TYPE_CHECKING:
    from smtp_gateway.content.report import Original

HEADERS_LIMIT = 32 * 1024
"""Octets of the original's header section that are returned: more than the trace of a hundred hops."""
FULL_LIMIT = 256 * 1024
"""Octets of a message in wire form up to which RET=FULL returns it whole: what is read whole for its delivery anyway. RFC 3461 section 6.2 allows a limit; Postfix's is 50,000 (bounce_size_limit), Exim's 100 KB
(bounce_return_size_limit)."""
SEVEN_BIT_LINE = 998
"""Octets of a line without its end (RFC 5322 section 2.1.1)."""
_NEVER_IN_A_LINE = bytes.maketrans(b"\r\n\x00", b"   ")
"""What a message in wire form cannot hold (CR and LF alone) or a line of text may not (NUL, RFC 2045 section 2.7)."""


def returned(original: Original, *, smtputf8: bool) -> list[bytes]:
    """Return the part, its own header included; *smtputf8* tells whether the notice needs SMTPUTF8 anyway."""
    headers = header_section(original.body)
    ascii_headers = all(map(bytes.isascii, headers))
    international = not ascii_headers and original.smtputf8 and _is_utf8(headers)
    if original.whole:
        content_type, lines = b"message/global" if international else b"message/rfc822", _lines(original.body)
    else:
        content_type, lines = b"message/global-headers" if international else b"text/rfc822-headers", headers
    fits = all(len(line) <= SEVEN_BIT_LINE for line in lines)
    # A message/rfc822 may not be encoded (RFC 2045 section 6.4).
    if content_type == b"message/rfc822" or (fits and (ascii_headers or (international and smtputf8))):
        return _as_it_is(content_type, lines)
    return _quoted(content_type, lines)


def is_returnable(body: bytes, *, smtputf8: bool) -> bool:
    """Tell whether all of *body*, a message with *smtputf8* or without, can come back; what is empty has nothing to."""
    if not len(END_OF_DATA) < len(body) <= FULL_LIMIT or b"\x00" in body:
        return False
    headers = header_section(body)
    proper = all(map(bytes.isascii, headers)) or (smtputf8 and _is_utf8(headers))
    return proper and all(len(line) <= SEVEN_BIT_LINE for line in _lines(body))


def header_section(body: bytes, limit: int = HEADERS_LIMIT) -> list[bytes]:
    """Return the lines of the header section of *body* (in wire form), dots unstuffed, cut at a line's end within *limit* octets."""
    head = body[: limit + 2]
    end = head.find(b"\r\n\r\n")
    lines = (head[:end] if end >= 0 else head[: head.rfind(b"\r\n") + 2]).split(b"\r\n")
    unstuffed = [line.removeprefix(b".").translate(_NEVER_IN_A_LINE) for line in lines]
    # Without an empty line the whole body is header section, and its last line may be the end of data.
    return [line for line in unstuffed if line]


def _lines(body: bytes) -> list[bytes]:
    """Return the lines of all of *body*, dots unstuffed."""
    return [line.removeprefix(b".") for line in body.removesuffix(END_OF_DATA).removesuffix(b"\r\n").split(b"\r\n")]


def _as_it_is(content_type: bytes, lines: list[bytes]) -> list[bytes]:
    encoding = [] if all(map(bytes.isascii, lines)) else [b"Content-Transfer-Encoding: 8bit"]
    return [b"Content-Type: " + content_type, *encoding, b"", *lines]


def _quoted(content_type: bytes, lines: list[bytes]) -> list[bytes]:
    """Return the part in ASCII and short lines (RFC 2045 section 6.7, allowed for these types by RFC 6532 section 3.5)."""
    quoted = quopri.encodestring(b"\n".join(lines)).split(b"\n")
    return [b"Content-Type: " + content_type, b"Content-Transfer-Encoding: quoted-printable", b"", *quoted]


def _is_utf8(lines: list[bytes]) -> bool:
    try:
        b"\n".join(lines).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
