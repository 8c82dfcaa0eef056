"""What is said about a queued message, as JSON: the one form in which the socket, `-o json` and the tables know it.

Times are in RFC 3339, UTC. `state` is one of

- `held`: waits until somebody releases it;
- `delivering`: an attempt is under way;
- `due`: will be tried as soon as there is a place;
- `deferred`: waits for its next attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from smtp_gateway.spool.api import Attempted, Entry, Listed, Recipient

    Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Moment:
    """When a message is looked at, and whether it is in an attempt."""

    now: float
    """Seconds since the epoch."""
    delivering: bool = False


def message(listed: Listed, moment: Moment) -> Document:
    """Tell about one message."""
    entry = listed.entry
    return {
        "id": entry.id,
        "state": state(listed, moment),
        "acceptedAt": stamp(entry.accepted_at),
        "size": entry.size,
        "identity": entry.identity,
        "sender": entry.sender,
        "attempts": max(recipient.attempts for recipient in entry.recipients),
        "nextAttempt": stamp(listed.next_attempt),
        "recipients": [_recipient(recipient) for recipient in entry.recipients],
    }


def story(listed: Listed, moment: Moment, history: Iterable[Attempted]) -> Document:
    """Tell about one message, with everything that was tried."""
    entry = listed.entry
    told = [_attempted(one) for one in history]
    more = {"smtputf8": entry.smtputf8, "body8bit": entry.body_8bit, "asked": list(_asked(entry)), "history": told}
    return message(listed, moment) | more


def state(listed: Listed, moment: Moment) -> str:
    """Return the word for where a message stands."""
    if listed.held:
        return "held"
    if moment.delivering:
        return "delivering"
    return "due" if listed.leased or listed.next_attempt <= moment.now else "deferred"


def stamp(seconds: float) -> str:
    """Return *seconds* since the epoch as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _recipient(recipient: Recipient) -> Document:
    return {
        "address": recipient.address,
        "attempts": recipient.attempts,
        "lastReply": recipient.last_reply,
        "nextAttempt": stamp(recipient.next_attempt) if recipient.next_attempt else None,
    }


def _asked(entry: Entry) -> Iterator[str]:
    """Give what the client asked for (RFC 8689 and RFC 3461), as it stands behind MAIL and behind RCPT of those who are still owed."""
    if entry.requiretls:
        yield "REQUIRETLS"
    if entry.dsn.parameters:
        yield entry.dsn.parameters.strip()
    for recipient in entry.recipients:
        if parameters := entry.dsn.about(recipient.address).parameters:
            yield f"<{recipient.address}>{parameters}"


def _attempted(attempted: Attempted) -> Document:
    return {
        "event": attempted.event,
        "times": attempted.times,
        "first": stamp(attempted.at),
        "last": stamp(attempted.until),
        "hop": attempted.hop,
        "reply": attempted.reply,
        "recipients": list(attempted.recipients),
    }
