"""The second part of a notice, for programs: the fields of RFC 3464 in ASCII, addresses beyond it in the form of RFC 6533."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

from smtp_gateway.mail.dsn import decoded
from smtp_gateway.mail.outcome import Deferred, Delivered, Failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smtp_gateway.content.report import Report
    from smtp_gateway.mail.outcome import Outcome

_ACTIONS: dict[type[Outcome], str] = {Failed: "failed", Deferred: "delayed", Delivered: "relayed"}
"""RFC 3464 section 2.3.3. Never `delivered` or `expanded`: a next hop took the message, and what it does with it nobody here knows."""
_TEMPORARY = "4"


def delivery_status(report: Report) -> list[str]:
    """Return the fields about the message and, a blank line before each, about the recipients (RFC 3464 section 2.2 and 2.3)."""
    original = report.original
    lines = [f"Original-Envelope-Id: {decoded(original.dsn.envid)}"] if original.dsn.envid else []
    lines += [f"Reporting-MTA: dns; {report.hostname}", f"X-Queue-Id: {original.id}"]
    if original.sender and not report.to_sender:
        lines += [f"X-Sender: {typed(original.sender)}"]
    lines += [f"Arrival-Date: {formatdate(original.accepted_at)}"]
    for address, outcome in report.outcomes.items():
        lines += ["", *_recipient(report, address, outcome)]
    return lines


def typed(address: str) -> str:
    """Return *address* with its type; beyond ASCII as `ascii_of` has it (RFC 6533 section 3)."""
    return f"rfc822; {address}" if address.isascii() else f"utf-8; {ascii_of(address)}"


def ascii_of(address: str) -> str:
    """Return *address* in ASCII, in the form `utf-8-addr-xtext` of RFC 6533 section 3 when it is beyond."""
    if address.isascii():
        return address
    return "".join(char if char.isascii() and char not in "\\+= " else f"\\x{{{ord(char):02X}}}" for char in address)


def _recipient(report: Report, address: str, outcome: Outcome) -> Iterator[str]:
    kind, _, orcpt = report.original.dsn.about(address).orcpt.partition(";")
    if orcpt:
        yield f"Original-Recipient: {kind}; {decoded(orcpt)}"
    yield f"Final-Recipient: {typed(address)}"
    yield f"Action: {_ACTIONS[type(outcome)]}"
    yield f"Status: {_status(outcome)}"
    if isinstance(outcome, Delivered):
        yield f"Remote-MTA: dns; {_host(outcome.hop)}"
    elif outcome.local or not outcome.hop:
        yield f"Diagnostic-Code: x-smtp-gateway; {outcome.reply}"
    else:
        yield f"Remote-MTA: dns; {_host(outcome.hop)}"
        yield f"Diagnostic-Code: smtp; {outcome.reply}"
    yield f"Last-Attempt-Date: {formatdate(report.now)}"
    if address in report.retried_until:
        yield f"Will-Retry-Until: {formatdate(report.retried_until[address])}"


def _status(outcome: Outcome) -> str:
    """Return the status code: the reply's own, or the least specific one of its class (RFC 3463 section 3.1).

    Of a delay it is a temporary one (RFC 3464 section 2.3.4), also where a next hop refused the session for good and the mail waits.
    """
    status = outcome.reply.enhanced or f"{outcome.reply.code // 100}.0.0"
    return _TEMPORARY + status[1:] if isinstance(outcome, Deferred) else status


def _host(hop: str) -> str:
    """Return the name of *hop*, `host[address]:port`."""
    return hop.partition("[")[0]
