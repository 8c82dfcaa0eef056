"""Replies in plain words: what a status code means for somebody who wrote a mail, and what they can do about it.

A table by the enhanced status code (RFC 3463 and the registry that it began), by the code alone where a next hop gives no better one. What
is in neither says no more than the reply does, which every notice quotes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smtp_gateway.mail.reply import Reply


@dataclass(frozen=True, slots=True)
class Reason:
    """One class of replies."""

    what: str
    """What happened, as one sentence."""
    advice: str
    """What whoever wrote the mail can do, as one sentence."""


UNKNOWN_MAILBOX = Reason("There is no such mailbox.", "Check the address for typing mistakes; perhaps it was given up.")
NO_DOMAIN = Reason("The domain of this address does not exist, or takes no mail.", "Check what is behind the @ for typing mistakes.")
BAD_ADDRESS = Reason("The address is not written as an address must be.", "Check it for typing mistakes.")
DISABLED = Reason("The mailbox exists and takes no mail at the moment.", "Reach the recipient in another way.")
FULL = Reason("The mailbox is full.", "Send the message again later, or tell the recipient in another way.")
TOO_BIG = Reason("The message is too big for the recipient's mail system.", "Send less at once, or a link to large files.")
REFUSED = Reason(
    "The recipient's mail system refuses this message by its rules: it may look like spam, or its sender may not write to this address.",
    "What it said below often names the rule, or a page about it. Whoever runs your mail system can find out more.",
)
FORMAT = Reason("The recipient's mail system cannot make sense of the message.", "Send it in a simpler form, for instance as plain text.")
NEEDS_SMTPUTF8 = Reason(
    "An address or a header field has letters beyond A to Z, which a mail system on the way to this recipient does not support.",
    "Use addresses without such letters for this recipient.",
)
LOOP = Reason(
    "The mail systems on the way send the message in a circle.", "Only those who run the mail of the recipient's domain can help."
)
UNREACHABLE = Reason(
    "The recipient's mail system could not be reached.", "Check what is behind the @ for typing mistakes, or send the message again later."
)
PUT_OFF = Reason(
    "The recipient's mail system puts mail from here off for now, as many do with senders that they do not know yet or that send much.",
    "Send the message again later.",
)
NO_WAY_IN = Reason(
    "This mail system could not log in, or not safely enough, where it sends this mail.",
    "Tell those who run it: they can see what is wrong.",
)
CROWDED = Reason(
    "Only so much mail may go to this mail system in a time, and the message waits for its turn.", "Send the message again later."
)
BUSY = Reason("The message was put off each time.", "Send the message again later.")
UNSAID = Reason("The recipient's mail system refuses the message.", "What it said is below.")

_BY_STATUS = {
    "5.1.1": UNKNOWN_MAILBOX,
    "5.1.2": NO_DOMAIN,
    "5.1.3": BAD_ADDRESS,
    "5.1.6": UNKNOWN_MAILBOX,
    "5.1.10": NO_DOMAIN,  # null MX, RFC 7505
    "x.2.1": DISABLED,
    "x.2.2": FULL,
    "x.2.3": TOO_BIG,
    "x.3.4": TOO_BIG,
    "5.4.4": NO_DOMAIN,
    "5.4.6": LOOP,
    "4.4.5": CROWDED,
    "x.4": UNREACHABLE,
    "5.5.2": FORMAT,
    "5.6.7": NEEDS_SMTPUTF8,  # RFC 6531, as the next two
    "5.6.8": NEEDS_SMTPUTF8,
    "5.6.9": NEEDS_SMTPUTF8,
    "5.6": FORMAT,
    "4.7": PUT_OFF,
    "5.7": REFUSED,
    "4": BUSY,
}
"""By status, by its first two numbers, by its first one; `x` is either class."""
_BY_CODE = {
    521: NO_DOMAIN,  # RFC 7504, as 556
    551: UNKNOWN_MAILBOX,
    553: BAD_ADDRESS,
    556: NO_DOMAIN,
}
"""By the code of RFC 5321 section 4.2.3 where that is all there is. 550, 552 and 554 mean several things each."""


_OURS = (530, 534, 535, 538)
"""Codes that speak about this mail system, whatever their status (RFC 4954 section 6, RFC 3207 section 4)."""


def reason_of(reply: Reply, *, local: bool = False) -> Reason:
    """Return what *reply* means, which this mail system gave itself where it is *local*."""
    if reply.code in _OURS or (local and reply.enhanced.startswith("4.7.")):
        return NO_WAY_IN
    if not reply.enhanced:
        return _BY_CODE.get(reply.code) or (UNSAID if reply.permanent else BUSY)
    kind, subject, detail = reply.enhanced.split(".")
    for status in (f"{subject}.{detail}", subject):
        if found := _BY_STATUS.get(f"{kind}.{status}") or _BY_STATUS.get(f"x.{status}"):
            return found
    return _BY_STATUS.get(kind, UNSAID)
