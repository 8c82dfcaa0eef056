"""REQUIRETLS (RFC 8689): what becomes of a message that may travel under verified TLS alone, and to servers that promise the same alone.

That a next hop cannot promise it is for good, so that the sender hears of it at once (section 4.2.1). That one cannot be reached, or is not
content with our credentials, says nothing about it: such mail waits, as all mail does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.delivery.faults import HopUnusableError
from smtp_gateway.mail.outcome import Deferred, Failed
from smtp_gateway.mail.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.delivery.session import Session
    from smtp_gateway.mail.envelope import Envelope
    from smtp_gateway.mail.outcome import Outcome

KEYWORD = "REQUIRETLS"
_NOT_OFFERED = Reply(550, "5.7.30", "REQUIRETLS support required, which the next hop does not offer")


def check(session: Session, envelope: Envelope) -> None:
    """Return when *session* may carry the message of *envelope*. Raises `HopUnusableError`, so that the next hop is tried."""
    if envelope.demands_tls and KEYWORD not in session.extensions:
        raise HopUnusableError(Failed(_NOT_OFFERED, str(session.hop), local=True))


def outcome(missed: Sequence[HopUnusableError]) -> Outcome:
    """Return what such a message comes to, of why each next hop was of no use: put off while one of them may yet do, and else the last."""
    judged = tuple(map(_judged, missed))
    return next((each for each in judged if isinstance(each, Deferred)), judged[-1])


def _judged(fault: HopUnusableError) -> Outcome:
    """Return what *fault* means for such a message: 5.7.10 is "unable to establish a TLS-protected session"."""
    each = fault.outcome
    if fault.unencrypted and isinstance(each, Deferred):
        return Failed(Reply(550, "5.7.10", f"Encryption needed: {each.reply.text}"), each.hop, local=True)
    return each
