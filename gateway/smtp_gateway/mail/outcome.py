"""What became of one recipient in one attempt, and the table that turns a next hop's reply into it.

Two rules of this file: only the reply to the end of data delivers, and what is unknown is temporary. A refused connection, a
timeout or a lost answer says nothing about the mail, so it is never a failure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from smtp_gateway.mail.reply import TRY_AGAIN_LATER, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smtp_gateway.mail.encryption import Encryption


class Phase(StrEnum):
    """Where in an SMTP session a reply was given (RFC 5321 section 4.3.2)."""

    CONNECT = "connect"
    """The greeting."""
    HELLO = "EHLO"
    """EHLO, or HELO after it."""
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    """AUTH, or a response to one of its challenges."""
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    """DATA itself, before the first octet of content."""
    END_OF_DATA = "end of data"


@dataclass(frozen=True, slots=True)
class Delivered:
    """The next hop took responsibility."""

    event: ClassVar[str] = "delivered"
    """What logs and histories call it."""
    reply: Reply
    hop: str = ""
    """The next hop, as `host[address]:port`."""
    encryption: Encryption | None = None
    """How the message travelled; None in the clear."""
    asked: bool = field(default=False, kw_only=True)
    """Whether the next hop was told what the sender asked to be told, so that from now on it tells the sender (RFC 3461 section 5.2.1)."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Another attempt may succeed."""

    event: ClassVar[str] = "deferred"
    """What logs and histories call it."""
    reply: Reply
    """What the next hop said, or, where `local`, what the gateway says in its place."""
    hop: str = ""
    """The next hop that was tried last; empty when none was."""
    local: bool = False
    """Whether no next hop said so: a refused connection, a timeout, a name that cannot be looked up."""
    unreached: bool = field(default=False, kw_only=True)
    """Whether no session came about, so that it says nothing about the mail: other mail for the same next hops would fare alike."""
    silent: bool = field(default=False, kw_only=True)
    """Whether nothing came back at all: a connection that timed out, or no way to the host."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No further attempt will be made."""

    event: ClassVar[str] = "bounced"
    """What logs and histories call it."""
    reply: Reply
    hop: str = ""
    local: bool = False
    expired: bool = field(default=False, kw_only=True)
    """Whether the reply was a temporary one and the message's lifetime is over."""


Outcome = Delivered | Deferred | Failed

UNEXPECTED = Deferred(TRY_AGAIN_LATER, local=True)
"""After an exception that nobody foresaw: its cause is in the log, and the mail stays."""

LEADS_BACK = Failed(Reply(550, "5.4.6", "The recipient's domain has this gateway, or no host at all, for its mail exchanger"), local=True)
"""For mail that would come back (RFC 5321 section 5.1; enhanced code: RFC 3463 section 3.5)."""

_LATER, _NEVER = Deferred, Failed

_BY_CLASS: dict[tuple[Phase, int], type[Deferred | Failed]] = {
    # A host that refuses the session speaks about us, not about the mail: a block list, a restart, a wrong name. Postfix does the
    # same (smtp_skip_5xx_greeting). The lifetime bounds how long that may last.
    (Phase.CONNECT, 5): _LATER,
    (Phase.HELLO, 5): _LATER,
    (Phase.STARTTLS, 5): _LATER,
    # Wrong or expired credentials are ours to mend, like Postfix's (smtp_sasl_auth_soft_bounce); the mail is as good as before.
    (Phase.AUTH, 5): _LATER,
    (Phase.MAIL, 5): _NEVER,
    (Phase.RCPT, 5): _NEVER,
    (Phase.DATA, 5): _NEVER,
    (Phase.END_OF_DATA, 5): _NEVER,
}
"""What a class of replies means in a phase; whatever is not in here is temporary."""

_BY_CODE: dict[int, type[Deferred | Failed]] = {
    # "Authentication required" (RFC 4954 section 6) and "Must issue a STARTTLS command first" (RFC 3207 section 4) ask for other
    # settings of ours, as do the refusals of AUTH, which some servers give to MAIL only: bouncing everything until somebody notices would
    # help nobody.
    **dict.fromkeys((530, 534, 535, 538), _LATER),
}
"""Codes that mean the same in each phase, before the class is looked at."""

_BEFORE_MAIL = (Phase.CONNECT, Phase.HELLO, Phase.STARTTLS, Phase.AUTH)
"""Phases in which a next hop does not know yet what it is asked to take."""
_TOO_MANY_RECIPIENTS = ("", "5.5.3")


def judge(phase: Phase, reply: Reply, hop: str = "") -> Outcome:
    """Return what *reply*, given in *phase*, makes of a recipient.

    2yz delivers after the end of data only. 552 at RCPT without a better reason is 452 as RFC 821 wrote it (RFC 5321 section
    4.5.3.1.10): too many recipients, and the rest goes with the next attempt.
    """
    if reply.positive and phase is Phase.END_OF_DATA:
        return Delivered(reply, hop)
    if phase is Phase.RCPT and reply.code == 552 and reply.enhanced in _TOO_MANY_RECIPIENTS:  # noqa: PLR2004 the code is the RFC's name
        return Deferred(reply, hop)
    kind = _BY_CODE.get(reply.code) or _BY_CLASS.get((phase, reply.code // 100), _LATER)
    return Deferred(reply, hop, unreached=phase in _BEFORE_MAIL) if kind is Deferred else kind(reply, hop)


def unreachable(enhanced: str, text: str, hop: str = "", *, silent: bool = False) -> Deferred:
    """Return the deferral for a next hop that gave no answer to judge; *enhanced* begins with 4 (RFC 3463 section 3.5)."""
    return Deferred(Reply(451, enhanced, text), hop, local=True, unreached=True, silent=silent)


def unreached(outcomes: Iterable[Outcome]) -> Deferred | None:
    """Return what kept an attempt with *outcomes* from a session; None when one came about for any of its recipients."""
    last = None
    for outcome in outcomes:
        if not isinstance(outcome, Deferred) or not outcome.unreached:
            return None
        last = outcome
    return last
