"""How fast a route may be given mail: by numbers, or by the name of a provider whose published limits are known here.

Rates are whole numbers by the second, the minute or the day, and no fractions: floating-point numbers do not survive a round trip in every
client (Kubernetes API conventions), and one message in ten seconds is six a minute. Messages and recipients are counted apart,
because providers count one or the other: a message for fifty is one to Exchange Online, by the minute, and fifty to Amazon SES.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from smtp_gateway.config import pace
from smtp_gateway.config.habits import Model
from smtp_gateway.config.rules import Rule


class Preset(StrEnum):
    """Providers with limits that they publish as numbers."""

    AMAZON_SES_SANDBOX = "AmazonSESSandbox"
    """An account of Amazon SES that has not been given production access; those that have get limits of their own."""
    GOOGLE_WORKSPACE = "GoogleWorkspace"
    """A user's login at smtp.gmail.com."""
    GOOGLE_WORKSPACE_RELAY = "GoogleWorkspaceRelay"
    """smtp-relay.gmail.com, for an organisation."""
    MICROSOFT_365 = "Microsoft365"
    """A mailbox's login at smtp.office365.com (SMTP AUTH client submission)."""
    POSTMARK = "Postmark"
    """smtp.postmarkapp.com."""
    SOCKET_LABS = "SocketLabs"
    """smtp.socketlabs.com."""


@dataclass(frozen=True, slots=True)
class Published:
    """What one provider publishes."""

    pacing: pace.Pacing
    source: str
    """The provider's own page; each number is on it."""
    note: str


_LEARN = "https://learn.microsoft.com/en-us/exchange/troubleshoot/send-emails"

PRESETS = {
    Preset.AMAZON_SES_SANDBOX: Published(
        # "Quotas are based on the number of recipients": 1 a second, 200 in 24 hours.
        pace.Pacing(recipients_per_second=1, recipients_per_day=200),
        "https://docs.aws.amazon.com/ses/latest/dg/quotas.html",
        "Limits of production accounts differ from one to the next: write those of yours as recipientsPerSecond and recipientsPerDay.",
    ),
    Preset.GOOGLE_WORKSPACE: Published(
        # 2,000 messages a day; of recipients, 3,000 a day outside of the own domain, for which all are taken here.
        pace.Pacing(messages_per_day=2000, recipients_per_day=3000),
        "https://support.google.com/a/answer/166852",
        "Beyond them a user may be shut out for a day. Recipients within the own domain count as if they were outside.",
    ),
    Preset.GOOGLE_WORKSPACE_RELAY: Published(
        # 4.6 million recipients in 24 hours, 319,444 in ten minutes.
        pace.Pacing(recipients_per_minute=31_944, recipients_per_day=4_600_000),
        "https://support.google.com/a/answer/2956491",
        "Each sender that is a user of the organisation has 10,000 messages a day besides; with one such sender write messagesPerDay: 10000.",
    ),
    Preset.MICROSOFT_365: Published(
        # "30 messages per minute", "10,000 recipients per day", "up to three concurrent connections".
        pace.Pacing(messages_per_minute=30, recipients_per_day=10_000, connections=3),
        f"{_LEARN}/smtp-submission-improvements",
        "Beyond the recipients of a day mail is refused for good (554 5.2.0), and the gateway returns it to its sender.",
    ),
    Preset.POSTMARK: Published(
        # "limit the total number of connections to our SMTP endpoint to 10 concurrent connections, per IP"
        pace.Pacing(connections=10),
        "https://postmarkapp.com/support/article/do-we-have-rate-limits-for-smtp",
        "Asked for, and not enforced.",
    ),
    Preset.SOCKET_LABS: Published(
        # "Maximum of 10 simultaneous connections per account"
        pace.Pacing(connections=10),
        "https://help.socketlabs.com/docs/smtp-server-restrictions",
        "More are answered 421 4.4.5.",
    ),
}
"""What each preset stands for."""

_SECOND = Annotated[int, Field(ge=1, le=10_000)]
_MINUTE = Annotated[int, Field(ge=1, le=600_000)]
_DAY = Annotated[int, Field(ge=1, le=1_000_000_000)]


class Pacing(Model):
    """How fast mail may leave on a route, straight to MX too: the route as a whole, all its next hops together."""

    preset: Preset | None = Field(
        default=None,
        description="The limits that a provider publishes, for all that is not written here. docs/pacing.md has the numbers and where they are from.",
    )
    messages_per_second: _SECOND | None = Field(default=None, description="Messages in a second, evenly spaced.")
    messages_per_minute: _MINUTE | None = Field(
        default=None,
        description="Messages in a minute, evenly spaced: 6 means one in ten seconds. With messagesPerSecond the lower one counts.",
    )
    messages_per_day: _DAY | None = Field(default=None, description="Messages in any 24 hours. Bounces are not counted.")
    recipients_per_second: _SECOND | None = Field(
        default=None, description="Recipients in a second. A message for many goes as a whole, and what follows waits the longer."
    )
    recipients_per_minute: _MINUTE | None = Field(default=None, description="Recipients in a minute, likewise.")
    recipients_per_day: _DAY | None = Field(default=None, description="Recipients in any 24 hours. Bounces are not counted.")
    connections: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="Connections at a time. Each pod may have one at least. Absent: up to 20 towards one destination, for each pod.",
    )


_FIELDS = ("preset", *(field.alias or name for name, field in Pacing.model_fields.items() if name != "preset"))

PACING_RULE = Rule(
    " || ".join(f"has(self.{name})" for name in _FIELDS),
    "pacing needs a preset or at least one limit",
    lambda pacing: any(getattr(pacing, name) is not None for name in Pacing.model_fields),
)


def to_pacing(pacing: Pacing) -> pace.Pacing:
    """Return the limits: what is written, and of what is not, the preset's."""
    written = {name: value for name in pace.Pacing.model_fields if (value := getattr(pacing, name)) is not None}
    base = pace.Pacing() if pacing.preset is None else PRESETS[pacing.preset].pacing
    return base.model_copy(update=written)
