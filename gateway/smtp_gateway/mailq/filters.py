"""Which messages a command is about: from its options to the query that crosses the socket, and from the query to a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.spool.api import Selection

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Protocol

    class Query(Protocol):
        """The parameters of a request, some of them repeated."""

        def get(self, name: str, /) -> str | None:
            """Return the first value of a parameter."""

        def getall(self, name: str, default: list[str], /) -> Sequence[str]:
            """Return all values of a parameter."""

    Parameters = tuple[tuple[str, str], ...]


NULL_SENDER = "<>"
"""How people write the sender of bounces (RFC 5321 section 4.5.5); in a query it is the empty text."""


def parameters(options: argparse.Namespace, now: float) -> Parameters:
    """Return the query for what the filters in *options* choose among the messages accepted before *now*, in seconds since the epoch.

    Mail that arrives while a command is at work is never among them: a command for all of a busy queue would have no end.
    """
    words = {
        "sender": "" if options.sender == NULL_SENDER else options.sender,
        "recipient": options.recipient,
        "domain": options.domain,
        "identity": options.identity,
        "reply": options.reply,
        "held": "true" if options.held else None,
    }
    chosen = [(name, value) for name, value in words.items() if value is not None]
    return (*chosen, ("older_than", repr(now - (options.older_than or 0.0))))


def narrow(options: argparse.Namespace) -> bool:
    """Tell whether *options* leave anything out, named messages apart."""
    named = (options.sender, options.recipient, options.domain, options.identity, options.reply, options.older_than)
    return options.held or any(one is not None for one in named)


def selection(query: Query) -> Selection:
    """Return what *query* selects. Raises `ValueError` for a time that is no number."""
    older_than, held = query.get("older_than"), query.get("held")
    return Selection(
        sender=query.get("sender"),
        recipient=query.get("recipient"),
        domain=query.get("domain"),
        identity=query.get("identity"),
        older_than=None if older_than is None else float(older_than),
        held=None if held is None else held == "true",
        reply=query.get("reply"),
        ids=frozenset(MessageId(one) for one in query.getall("id", [])),
    )
