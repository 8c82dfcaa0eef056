"""Which replies of a next hop say that it was given too much: a pure table.

They are about the sender or the connection, never about one recipient: a full or busy mailbox (X.2.Y, RFC 3463 section 3.3) and greylisting
ask for patience with that mail alone. A code alone says little, because 421, 450, 451 and 454 stand for anything temporary; what counts are
enhanced codes that are used for nothing else, and words. What is not recognised is a deferral like any other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from smtp_gateway.mail.outcome import Deferred

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smtp_gateway.mail.outcome import Outcome
    from smtp_gateway.mail.reply import Reply

CODES = frozenset({421, 432, 450, 451, 452, 454})
"""Codes of such replies: RFC 5321 section 4.2.3; 432 and 454 are what Exchange Online and Amazon SES use, whatever they stand for elsewhere."""

ENHANCED = (
    # RFC 3463 section 3.5: mail system congestion. Google: "Server busy".
    r"4\.4\.5",
    # Google: an unusual rate of mail (support.google.com/a/answer/3726730).
    r"4\.7\.28",
    # Exchange Online: IP throttling (learn.microsoft.com/exchange/troubleshoot/email-delivery/ndr, "451 4.7.500-699").
    r"4\.7\.[56]\d\d",
)
"""Enhanced codes that say it alone."""

WORDS = (
    # Amazon SES, 454: "Throttling failure: Maximum sending rate exceeded", "Daily message quota exceeded"
    # (docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html).
    r"throttl",
    r"(sending|message|mail|connection) rate",
    r"(message|sending) quota exceeded",
    # Exchange Online, 432 4.3.2: "Concurrent connections limit exceeded", "sender thread limit exceeded"
    # (learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements).
    r"(connections?|thread|session|relay|submission) limit exceeded",
    # Google, 450 4.2.1: "Peak SMTP relay limit exceeded for customer"; 421 4.7.0: "unusual rate of unsolicited mail", "rate limited".
    r"unusual rate",
    r"rate[- ]?limit",
    # Yahoo, 421 4.7.0: "[TSS04] Messages from ... temporarily deferred due to unexpected volume or user complaints"
    # (senders.yahooinc.com/smtp-error-codes).
    r"\[TSS?\d\d\]",
    r"unexpected volume",
    # Postfix' anvil (postconf.5: smtpd_client_connection_rate_limit) and Exim (ratelimit): "too many connections", "too much mail from";
    # SocketLabs, 421 4.4.5 (help.socketlabs.com/docs/smtp-server-restrictions).
    r"too many (concurrent |smtp |simultaneous )*(connections|sessions|messages|emails|mails)",
    r"too much mail",
    r"slow down",
)
"""Words that say it, in lower or upper case."""

NEVER = (
    # Postgrey, milter-greylist, rspamd and Exchange call it by its name.
    r"gr[ae]y-?list",
    # Google, 450 4.2.1: one mailbox that gets too much, from whomever.
    r"user you are trying to contact",
)
"""Words of replies about one recipient, or one mail."""

_ENHANCED = re.compile("|".join(ENHANCED))
_WORDS = re.compile("|".join(WORDS), re.IGNORECASE)
_NEVER = re.compile("|".join(NEVER), re.IGNORECASE)


def is_throttling(reply: Reply) -> bool:
    """Tell whether *reply* of a next hop says that it was given too much."""
    if reply.code not in CODES:
        return False
    text = " ".join(reply.text.split())  # long ones come in lines that end anywhere
    if _NEVER.search(text):
        return False
    return _ENHANCED.fullmatch(reply.enhanced) is not None or _WORDS.search(text) is not None


def throttling(outcomes: Iterable[Outcome]) -> Deferred | None:
    """Return the first of *outcomes* by which a next hop asked for less; None when none did."""
    for outcome in outcomes:
        if isinstance(outcome, Deferred) and not outcome.local and is_throttling(outcome.reply):
            return outcome
    return None
