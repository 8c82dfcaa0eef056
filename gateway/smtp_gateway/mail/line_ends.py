"""Line ends of a body: whole ones, or a way to smuggle (RFC 5321 section 2.3.8), and dots behind them (section 4.5.2).

What another server takes for the end of a line, or of the message, is where mail is smuggled (CVE-2023-51764 and its siblings), so both
doors ask the same question with the same words: on the way in a body is refused, on the way out it is not sent.
"""

from __future__ import annotations

import io

_FEW = 64
"""Dots that are looked at one by one. The header section has some twenty; most of what is large is base64, which has none."""
_LEADING_DOT = b"\r\n."


def leading_dot(octets: bytes) -> int:
    """Return where the first CRLF with a dot behind it begins in *octets*; -1 when no line but perhaps the first begins with a dot.

    Searching for one octet takes 0.02 ms for a megabyte without dots, where searching for all three takes 1.0.
    """
    dot = octets.find(b".", 2)
    for _ in range(_FEW):
        if dot < 0:
            return -1
        if octets.startswith(b"\r\n", dot - 2):
            return dot - 2
        dot = octets.find(b".", dot + 1)
    return octets.find(_LEADING_DOT, dot - 2) if dot >= 0 else -1


def only_whole_line_ends(octets: bytes) -> bool:
    """Tell whether every CR in *octets* is followed by LF, and every LF follows a CR.

    The decoder of text files has a loop in C that notes which kinds of line ends there are: 0.35 ms for a megabyte, where deleting all
    but CR and LF and counting the pairs takes 1.2, and a regular expression 3.3. Latin-1 has a character for each octet.
    """
    kinds = io.IncrementalNewlineDecoder(None, translate=False)
    kinds.decode(octets.decode("latin-1"), final=True)
    return kinds.newlines in (None, "\r\n")
