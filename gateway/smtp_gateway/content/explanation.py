"""The first part of a notice, for people: one template for failure, delay and success.

What happened and which message it is about come first; then, for each recipient, what it means, what to do, and what the next hop said,
word for word. In lines as long as mail is read in, wrapped between words only: what a next hop says may have to be searched for.
"""

from __future__ import annotations

import textwrap
from email.utils import formatdate
from typing import TYPE_CHECKING

from smtp_gateway.content.delivery_status import ascii_of
from smtp_gateway.content.fields import first_field
from smtp_gateway.content.reasons import reason_of
from smtp_gateway.content.report import ORDER, Kind
from smtp_gateway.mail.outcome import Deferred, Delivered, Failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smtp_gateway.content.report import Report
    from smtp_gateway.mail.outcome import Outcome

WIDTH = 76
"""Characters of a line (RFC 5322 section 2.1.1 recommends 78 at most)."""
_SUBJECT_LIMIT = 120

_SUBJECTS = {
    Kind.FAILURE: "Undelivered mail returned to sender",
    Kind.DELAY: "Delayed mail, still being tried",
    Kind.SUCCESS: "Mail handed over to its recipient's mail system",
}
_INTRODUCTIONS = {
    Kind.FAILURE: "{message} could not be delivered to {recipients}. It is not tried again.",
    Kind.DELAY: "{message} has not reached {recipients} yet. It is still being tried: there is nothing to do, and no need to send it again.",
    Kind.SUCCESS: "{message} to {recipients} was handed over to a mail system which does not tell whether it arrives. There will be no further report.",
}
_HEADINGS = {Kind.FAILURE: "not delivered", Kind.DELAY: "not delivered yet", Kind.SUCCESS: "handed over"}


def subject(report: Report) -> str:
    """Return the subject of the notice; to the postmaster it says whose mail it is about."""
    if report.to_sender:
        return _SUBJECTS[report.kind]
    return f"{_SUBJECTS[report.kind].partition(' returned')[0]} ({ascii_of(report.original.sender) or 'a notice of this mail system'})"


def explanation(report: Report) -> list[str]:
    """Return the lines of the text."""
    lines = [f"This is the mail system at {report.hostname}.", "", *_wrapped(_introduction(report)), "", *_which(report)]
    for kind in ORDER:
        for address, outcome in report.about(kind).items():
            lines += ["", f"<{address}>: {_HEADINGS[kind]}", ""]
            lines += [f"    {line}".rstrip() for line in _about(report, address, outcome)]
    return [*lines, "", *_wrapped(_closing(report))]


def _introduction(report: Report) -> str:
    number = len(report.about(report.kind))
    recipients = "one recipient" if number == 1 else f"{number} recipients"
    if report.to_sender:
        message = "Your message"
    else:
        message = f"A message of <{report.original.sender}>" if report.original.sender else "A notice of this mail system"
    return _INTRODUCTIONS[report.kind].format(message=message, recipients=recipients)


def _which(report: Report) -> Iterator[str]:
    """Yield what tells the message from others."""
    original = report.original
    if original.sender and not report.to_sender:
        yield f"    Sender:   <{original.sender}>"
    if about := first_field(original.body, "subject"):
        yield f"    Subject:  {textwrap.shorten(about, _SUBJECT_LIMIT, placeholder=' ...')}"
    yield f"    Accepted: {_date(original.accepted_at)}"
    yield f"    Queue ID: {original.id}"


def _about(report: Report, address: str, outcome: Outcome) -> Iterator[str]:
    if isinstance(outcome, Delivered):
        yield from _wrapped(f"{outcome.hop} took it and said:", 4)
    else:
        yield from _wrapped(" ".join(_meaning(report, address, outcome)), 4)
        yield ""
        yield f"{_who(outcome)}:"
    yield from _wrapped(str(outcome.reply), 4)


def _who(outcome: Failed | Deferred) -> str:
    """Return who said what is quoted: this mail system, where a next hop gave no answer to quote."""
    if outcome.local or not outcome.hop:
        return f"This mail system about {outcome.hop}" if outcome.hop else "This mail system"
    return f"{outcome.hop} said"


def _meaning(report: Report, address: str, outcome: Failed | Deferred) -> Iterator[str]:
    """Yield the sentences about a recipient whose mail did not arrive."""
    reason = reason_of(outcome.reply, local=outcome.local)
    if isinstance(outcome, Failed):
        if outcome.expired:
            yield f"It was tried again and again for {_duration(report.now - report.original.accepted_at)}."
        yield reason.what
        yield reason.advice
    else:
        yield reason.what
        if until := report.retried_until.get(address):
            yield f"It is tried until {_date(until)}."


def _closing(report: Report) -> str:
    if report.original.whole:
        return "Attached are the details, for those who run mail systems, and the message."
    return "Attached are the details, for those who run mail systems, and the headers of the message."


def _duration(seconds: float) -> str:
    """Return *seconds* as people say it."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if (number := round(seconds / length)) >= 1:
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "less than a minute"


def _date(when: float) -> str:
    """Return *when*, in seconds since the epoch, as people write it: `Fri, 15 Jan 2027 08:00 UTC`."""
    return f"{formatdate(when).rpartition(':')[0]} UTC"


def _wrapped(text: str, indentation: int = 0) -> list[str]:
    return textwrap.wrap(text, WIDTH - indentation, break_long_words=False, break_on_hyphens=False)
