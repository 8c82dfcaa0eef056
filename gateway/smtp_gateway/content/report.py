"""What a notice reports: the values from which its parts are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from smtp_gateway.mail.dsn import NO_DSN, Dsn
from smtp_gateway.mail.outcome import Deferred, Delivered, Failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.mail.outcome import Outcome


class Kind(StrEnum):
    """What a notice is about, as logs and metrics call it."""

    FAILURE = "failure"
    DELAY = "delay"
    SUCCESS = "success"


_KINDS: dict[type[Outcome], Kind] = {Failed: Kind.FAILURE, Deferred: Kind.DELAY, Delivered: Kind.SUCCESS}
ORDER = tuple(Kind)
"""The worst first: a notice about several kinds is called after the worst, and begins with it."""


@dataclass(frozen=True, slots=True)
class Original:
    """The message that a notice is about."""

    id: MessageId
    sender: str
    """Empty for a notice of the gateway's own."""
    accepted_at: float
    body: bytes
    """In wire form: the beginning with its header section, or all of it where it is to be returned."""
    dsn: Dsn = NO_DSN
    """What its client asked to be told."""
    smtputf8: bool = False
    """Whether its header section is UTF-8 (RFC 6532)."""
    whole: bool = False
    """Whether all of it is to be returned, and not the header section alone."""


@dataclass(frozen=True, slots=True)
class Report:
    """Who tells whom what, and when."""

    id: MessageId
    """The notice's own."""
    hostname: str
    now: float
    to: str
    """Where the notice goes: the sender, or the postmaster."""
    original: Original
    outcomes: Mapping[str, Outcome]
    """By recipient; a deferral is a warning of the delay."""
    retried_until: Mapping[str, float] = field(default_factory=dict)
    """Until when those are tried that were deferred, in seconds since the epoch."""

    @property
    def to_sender(self) -> bool:
        """Whether it goes to the sender and not to the postmaster."""
        return self.to == self.original.sender

    @property
    def kind(self) -> Kind:
        """What it is about; of several, the worst."""
        return worst(self.outcomes.values())

    def about(self, kind: Kind) -> dict[str, Outcome]:
        """Return the recipients and outcomes of one kind."""
        return {address: outcome for address, outcome in self.outcomes.items() if kind_of(outcome) is kind}


def kind_of(outcome: Outcome) -> Kind:
    """Return what kind of notice tells of *outcome*."""
    return _KINDS[type(outcome)]


def worst(outcomes: Iterable[Outcome]) -> Kind:
    """Return the worst kind among *outcomes*, of which there is at least one."""
    return min(map(kind_of, outcomes), key=ORDER.index)
