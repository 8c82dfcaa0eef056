"""REQUIRETLS (RFC 8689): what becomes of a message that may travel under verified TLS alone, and to servers that promise the same alone.

That a next hop cannot promise it is for good, so that the sender hears of it at once (section 4.2.1). That one cannot be reached says
nothing about it: such mail waits, as all mail does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.delivery.faults import HandshakeError, HopUnusableError, NotEncryptedError
from smtp_gateway.mail.outcome import Deferred, Failed
from smtp_gateway.mail.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.delivery.session import Session
    from smtp_gateway.mail.envelope import Envelope
    from smtp_gateway.mail.outcome import Outcome

KEYWORD = "REQUIRETLS"
_NOT_OFFERED = Reply(550, "5.7.30", "REQUIRETLS support required, which the next hop does not offer")
_FOR_GOOD = (NotEncryptedError.enhanced, HandshakeError.enhanced)
"""Of the ways in which no session comes about, those that mean "unable to establish a TLS-protected session": 5.7.10."""


def check(session: Session, envelope: Envelope) -> None:
    """Return when *session* may carry the message of *envelope*. Raises `HopUnusableError`, so that the next hop is tried."""
    if envelope.demands_tls and KEYWORD not in session.extensions:
        raise HopUnusableError(Failed(_NOT_OFFERED, str(session.hop), local=True))


def outcome(missed: Sequence[Outcome]) -> Outcome:
    """Return what such a message comes to, of what each next hop came to: put off while one of them may yet do, and else the last."""
    judged = tuple(_judged(each) for each in missed)
    return next((each for each in judged if isinstance(each, Deferred)), judged[-1])


def _judged(each: Outcome) -> Outcome:
    if isinstance(each, Deferred) and each.local and each.reply.enhanced in _FOR_GOOD:
        return Failed(Reply(550, "5.7.10", f"Encryption needed: {each.reply.text}"), each.hop, local=True)
    return each
