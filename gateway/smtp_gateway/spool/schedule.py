"""When a recipient is tried again, and when it has been tried long enough: pure functions over the spool's values.

The curve is `config.pace.Retry`'s; its table test is the specification. Each recipient has the time that its own route's curve gives it;
the message is due with the earliest of them, and only those are tried then that are due (`due_now`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from smtp_gateway.mail.outcome import Deferred, Failed, Outcome
from smtp_gateway.spool.api import Attempted, Entry, Recipient, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from smtp_gateway.config.pace import Retry

TOGETHER = 1.0
"""Seconds by which a recipient may be tried early because another one of its message is tried: one transaction then serves both. Shorter
than any wait that makes sense, so it bends no curve."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What decides about further attempts."""

    lifetime: float
    """Seconds after acceptance that a message is worth an attempt, where the recipient's route says nothing else."""
    retries: Mapping[str, Retry]
    """The curve of each recipient's route, by address."""

    def end(self, entry: Entry, address: str) -> float:
        """Return until when *address* is worth an attempt, in seconds since the epoch."""
        lifetime = self.retries[address].lifetime
        return entry.accepted_at + (self.lifetime if lifetime is None else lifetime)


@dataclass(frozen=True, slots=True)
class Decision:
    """What one attempt came to, recipient by recipient, and what is to be written down."""

    settlement: Settlement
    outcomes: Mapping[str, Outcome]
    """By recipient, as they finally are: what was deferred has failed once the lifetime is over."""

    @property
    def failed(self) -> dict[str, Failed]:
        """The recipients that failed."""
        return {address: outcome for address, outcome in self.outcomes.items() if isinstance(outcome, Failed)}


def wait(retry: Retry, attempts: int, jitter: float) -> float:
    """Return the seconds to wait after *attempts* attempts; *jitter* is a random number in [0, 1)."""
    # By logarithms, because a power would overflow after thousands of attempts.
    grown = max(attempts, 1) - 1
    beyond = grown * math.log(retry.factor) > math.log(retry.maximum / retry.initial)
    longest = retry.maximum if beyond else min(retry.initial * retry.factor**grown, retry.maximum)
    return longest * (1 - retry.jitter * jitter)


def due_now(entry: Entry, now: float) -> Entry:
    """Return *entry* with those of its recipients that are to be tried at *now*: the due ones, and what will be due within `TOGETHER`.

    All of them when none is due: an entry is not leased in vain, whatever the clock did.
    """
    due = tuple(recipient for recipient in entry.recipients if recipient.next_attempt <= now + TOGETHER)
    return replace(entry, recipients=due) if 0 < len(due) < len(entry.recipients) else entry


def settle(entry: Entry, outcomes: Mapping[str, Outcome], terms: Terms, now: float, jitter: float) -> Decision:
    """Decide what an attempt that ended at *now* makes of *entry*; *outcomes* has those of its recipients that were tried.

    What was only deferred fails once its lifetime is over, and who was not tried stays as it was. The next attempt is never later than
    the end of the lifetime, so that the last attempt is made then and not up to an hour afterwards.
    """
    final = {address: _final(outcome, now >= terms.end(entry, address)) for address, outcome in outcomes.items()}

    def due(recipient: Recipient) -> float:
        again = now + wait(terms.retries[recipient.address], recipient.attempts + 1, jitter)
        return min(again, terms.end(entry, recipient.address))

    remaining = tuple(_still_owed(entry, final, due))
    if not remaining:
        return Decision(Settlement(entry.id), final)
    next_attempt = min(recipient.next_attempt for recipient in remaining)
    return Decision(Settlement(entry.id, remaining, next_attempt, _history(final, now)), final)


def postpone(entry: Entry, retry: Retry, now: float, jitter: float) -> Settlement:
    """Put *entry* back without an attempt, because its destination has no free connection and others wait behind it.

    The wait is the message's age within the bounds of *retry*: a fresh message comes back soon, an old backlog does not come back
    all the time.
    """
    age = min(max(now - entry.accepted_at, retry.initial), retry.maximum)
    return Settlement(entry.id, entry.recipients, now + age * (1 - retry.jitter * jitter))


def _still_owed(entry: Entry, final: Mapping[str, Outcome], due: Callable[[Recipient], float]) -> Iterator[Recipient]:
    """Yield the recipients that were deferred, for when they are *due*, and those that were not tried, as they are."""
    for recipient in entry.recipients:
        outcome = final.get(recipient.address)
        if outcome is None:
            yield recipient
        elif isinstance(outcome, Deferred):
            yield Recipient(recipient.address, recipient.attempts + 1, str(outcome.reply), due(recipient), recipient.warned)


def _final(outcome: Outcome, over: bool) -> Outcome:  # noqa: FBT001 a private function of one line
    return Failed(outcome.reply, outcome.hop, outcome.local, expired=True) if over and isinstance(outcome, Deferred) else outcome


def _history(final: Mapping[str, Outcome], now: float) -> tuple[Attempted, ...]:
    """Return what an attempt came to, those alike together."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for address, outcome in final.items():
        alike.setdefault((outcome.event, outcome.hop, str(outcome.reply)), []).append(address)
    return tuple(Attempted(now, *what, tuple(addresses), until=now) for what, addresses in alike.items())
