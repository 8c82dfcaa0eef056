"""When a message is tried again, and when it has been tried long enough: pure functions over the spool's values.

The curve is `config.model.Retry`'s; its table test is the specification. A message whose recipients take routes with different
curves is due with the earliest of them, because mail that comes too late is worse than one attempt too many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.mail.outcome import Deferred, Failed, Outcome
from smtp_gateway.spool.api import Entry, Recipient, Settlement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smtp_gateway.config.model import Retry

JITTER = 0.25
"""The largest part by which a wait is shortened (see `config.model.Retry`)."""
_DOUBLINGS = 62
"""More are never needed: 2**62 s is longer than any maximum, and a float must not overflow after thousands of attempts."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What decides about further attempts."""

    lifetime: float
    """Seconds after acceptance that a message is worth an attempt."""
    retries: Mapping[str, Retry]
    """The curve of each recipient's route, by address."""


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
    doubled = retry.initial * 2.0 ** min(max(attempts, 1) - 1, _DOUBLINGS)
    return min(doubled, retry.maximum) * (1 - JITTER * jitter)


def settle(entry: Entry, outcomes: Mapping[str, Outcome], terms: Terms, now: float, jitter: float) -> Decision:
    """Decide what an attempt that ended at *now* makes of *entry*; *outcomes* has one outcome for each of its recipients.

    What was only deferred fails once the lifetime is over. The next attempt is never later than the end of the lifetime, so that
    the last attempt is made then and not up to an hour afterwards.
    """
    end = entry.accepted_at + terms.lifetime
    final = {address: _expired(outcome) for address, outcome in outcomes.items()} if now >= end else outcomes
    remaining = tuple(_tried(recipient, final[recipient.address]) for recipient in entry.recipients if _owed(final[recipient.address]))
    if not remaining:
        return Decision(Settlement(entry.id), final)
    due = (now + wait(terms.retries[recipient.address], recipient.attempts, jitter) for recipient in remaining)
    return Decision(Settlement(entry.id, remaining, min(*due, end)), final)


def postpone(entry: Entry, retry: Retry, now: float, jitter: float) -> Settlement:
    """Put *entry* back without an attempt, because its destination has no free connection and others wait behind it.

    The wait is the message's age within the bounds of *retry*: a fresh message comes back soon, an old backlog does not come back
    all the time.
    """
    age = min(max(now - entry.accepted_at, retry.initial), retry.maximum)
    return Settlement(entry.id, entry.recipients, now + age * (1 - JITTER * jitter))


def _owed(outcome: Outcome) -> bool:
    return isinstance(outcome, Deferred)


def _tried(recipient: Recipient, outcome: Outcome) -> Recipient:
    return Recipient(recipient.address, recipient.attempts + 1, str(outcome.reply))


def _expired(outcome: Outcome) -> Outcome:
    return Failed(outcome.reply, outcome.hop, outcome.local, expired=True) if isinstance(outcome, Deferred) else outcome
