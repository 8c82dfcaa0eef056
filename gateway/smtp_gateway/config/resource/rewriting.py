"""Who mail on a route is from: rules that rewrite it, in the envelope and in the header."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from smtp_gateway.config import outgoing
from smtp_gateway.config.habits import Model
from smtp_gateway.config.resource.words import SenderPattern, matching
from smtp_gateway.config.rules import Rule

_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_ADDRESS = rf"^(\*|[a-zA-Z0-9!#$%&+/=?^_`{{|}}~-]+(\.[a-zA-Z0-9!#$%&+/=?^_`{{|}}~-]+)*)@{_LABEL}(\.{_LABEL})*$"
"""A dot-atom (RFC 5322 section 3.2.3) without `*` and the apostrophe, in a domain of letters, digits and dashes."""

NewAddress = Annotated[
    str,
    Field(max_length=254),
    matching(_ADDRESS, "must be an address such as noreply@example.com, or *@example.com, which keeps what stands before the @"),
]
OriginalHeader = Annotated[
    str,
    Field(max_length=63),
    matching(r"^X-[A-Za-z0-9-]+$", "must be the name of a header that begins with X-, such as X-Original-From"),
]


class ReplyTo(StrEnum):
    """What becomes of Reply-To."""

    UNCHANGED = "Unchanged"
    """It stays as it is, and none is added."""
    ORIGINAL = "Original"
    """Where there is none, the From that was changed becomes it."""


class SenderRule(Model):
    """What some senders become."""

    match: Annotated[tuple[SenderPattern, ...], Field(min_length=1, max_length=8)] | None = Field(
        default=None,
        description="Whom this is for: addresses, *@example.com for all of a domain, *@*.example.com for every domain beneath it. Absent: every sender.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    address: NewAddress = Field(description="The address they get; *@example.com keeps what stands before the @.")


EVERYBODY_RULE = Rule(
    "size(self) == 0 || self.filter(rule, !has(rule.match)).size() <= (has(self[size(self) - 1].match) ? 0 : 1)",
    "only the last rule may be without a match: rules behind one would never be used",
    lambda rules: all(rule.match is not None for rule in rules[:-1]),
)


class Rewrite(Model):
    """Who mail on a route is from, for next hops that take it from some senders alone."""

    senders: Annotated[tuple[SenderRule, ...], Field(min_length=1, max_length=8), EVERYBODY_RULE] = Field(
        description="The first rule that matches an address counts, and what none matches stays. Applied to the envelope's sender and to the addresses of From and Sender; display names stay, and so does the null sender of bounces.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    original_header: OriginalHeader | None = Field(
        default=None, description="Header that keeps a From which was changed, such as X-Original-From; not kept when absent."
    )
    reply_to: ReplyTo = Field(
        default=ReplyTo.UNCHANGED,
        description="Original: a From that was changed becomes Reply-To where the message has none, so that answers still arrive. Unchanged: none is added.",
    )


def to_rewrite(rewrite: Rewrite | None) -> outgoing.Rewrite | None:
    """Return what pods are told of *rewrite*."""
    if rewrite is None:
        return None
    rules = tuple(outgoing.SenderRule(match=rule.match or (), address=rule.address) for rule in rewrite.senders)
    return outgoing.Rewrite(senders=rules, original_header=rewrite.original_header, reply_to=rewrite.reply_to is ReplyTo.ORIGINAL)
