"""The queue for people: aligned columns, in the manner of `kubectl get`, and the whole of one message.

What senders and next hops said is shown without what would move a cursor (Postfix: printable()).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Document = dict[str, Any]

HEADINGS = ("ID", "AGE", "SIZE", "ATTEMPTS", "NEXT", "SENDER", "RECIPIENTS", "REASON")
WIDE_HEADINGS = (*HEADINGS[:5], "IDENTITY", *HEADINGS[5:])
REASON = 70
"""Characters of a reason in a narrow table."""
_GAP = "   "
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


class Table:
    """Rows that come in pages: each page is aligned, and no column gets narrower on the way."""

    def __init__(self, headings: Sequence[str]) -> None:
        """Begin with *headings*, which stand above the first page."""
        self._headings: Sequence[str] | None = headings
        self._widths = [len(heading) for heading in headings]

    def lines(self, rows: Iterable[Sequence[str]]) -> Iterator[str]:
        """Give the lines of a page."""
        page = [tuple(printable(cell) for cell in row) for row in rows]
        if self._headings is not None and page:
            page.insert(0, tuple(self._headings))
            self._headings = None
        for row in page:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, row, strict=True)]
        for row in page:
            yield _GAP.join(cell.ljust(width) for cell, width in zip(row, self._widths, strict=True)).rstrip()


def row(message: Document, now: float) -> tuple[str, ...]:
    """Return the cells of a message under `HEADINGS`."""
    first, *others = message["recipients"]
    return (
        *_head(message, now),
        message["sender"] or "<>",
        f"{first['address']} (+{len(others)})" if others else first["address"],
        _shortened(next(iter(_replies(message)), "")),
    )


def wide_row(message: Document, now: float) -> tuple[str, ...]:
    """Return the cells of a message under `WIDE_HEADINGS`: all recipients, and all that was said about them."""
    to = ",".join(one["address"] for one in message["recipients"])
    return (*_head(message, now), message["identity"] or "-", message["sender"] or "<>", to, " / ".join(_replies(message)) or "-")


def whole(message: Document, now: float) -> Iterator[str]:
    """Give the lines that tell everything about one message."""
    yield from _facts(message, now)
    yield ""
    recipients = Table(("RECIPIENT", "ATTEMPTS", "NEXT", "LAST REPLY"))
    yield from recipients.lines(
        (one["address"], str(one["attempts"]), _next(message | one, now), one["lastReply"] or "-") for one in message["recipients"]
    )
    yield ""
    if not message["history"]:
        yield "No attempt yet."
        return
    history = Table(("FIRST", "LAST", "TIMES", "EVENT", "RECIPIENTS", "HOP", "REPLY"))
    yield from history.lines(_attempted(one) for one in message["history"])


def _facts(message: Document, now: float) -> Iterator[str]:
    declared = [name for key, name in (("smtputf8", "SMTPUTF8"), ("body8bit", "8BITMIME")) if message[key]]
    facts = {
        "ID": message["id"],
        "State": message["state"],
        "Sender": message["sender"] or "<>",
        "Identity": message["identity"] or "-",
        "Accepted": f"{clock(message['acceptedAt'])} UTC ({span(now - seconds(message['acceptedAt']))} ago)",
        "Size": f"{message['size']} octets",
        "Declared": " ".join(declared) or "-",
        "Asked": "; ".join(message["asked"]) or "-",
    }
    for name, value in facts.items():
        yield f"{name + ':':<10} {printable(value)}"


def _attempted(one: Document) -> tuple[str, ...]:
    to = one["recipients"]
    who = f"{to[0]} (+{len(to) - 1})" if len(to) > 1 else "".join(to)
    return (clock(one["first"]), clock(one["last"]), str(one["times"]), one["event"], who, one["hop"] or "-", one["reply"] or "-")


def _head(message: Document, now: float) -> tuple[str, ...]:
    age = span(now - seconds(message["acceptedAt"]))
    return message["id"], age, size(message["size"]), str(message["attempts"]), _next(message, now)


def _next(message: Document, now: float) -> str:
    if message["state"] != "deferred":
        return str(message["state"])
    return span(seconds(message["nextAttempt"]) - now) if message["nextAttempt"] else "-"


def _replies(message: Document) -> list[str]:
    """Return what was said about the recipients, each sentence once."""
    return list(dict.fromkeys(one["lastReply"] for one in message["recipients"] if one["lastReply"]))


def _shortened(text: str) -> str:
    return (text if len(text) <= REASON else f"{text[: REASON - 3]}...") or "-"


def printable(text: str) -> str:
    """Return *text* with a question mark for whatever is no letter, digit, mark or blank."""
    return "".join(one if one.isprintable() else "?" for one in text)


def seconds(stamp: str) -> float:
    """Return a time in RFC 3339 as seconds since the epoch."""
    return datetime.fromisoformat(stamp).timestamp()


def clock(stamp: str) -> str:
    """Return a time in RFC 3339 as date and time of day in UTC."""
    return datetime.fromisoformat(stamp).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(duration: float) -> str:
    """Return *duration* in seconds with its two largest units, as `kubectl get` shows an age: 45s, 3m12s, 5d4h."""
    left = max(0, round(duration))
    for (unit, length), (lesser, part) in zip(_UNITS, (*_UNITS[1:], ("", 1)), strict=True):
        if left >= length:
            rest = left % length // part
            return f"{left // length}{unit}" + (f"{rest}{lesser}" if rest and lesser else "")
    return "0s"


def size(octets: int) -> str:
    """Return *octets* in the largest binary unit of which there is one, as Kubernetes writes quantities: 812, 4.1Ki, 25Mi."""
    amount, unit = float(octets), ""
    for larger in ("Ki", "Mi", "Gi"):
        if amount < 1024:  # noqa: PLR2004 the definition of the units
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f}".removesuffix(".0") + unit
