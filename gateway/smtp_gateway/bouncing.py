"""What senders are told: which outcomes of an attempt somebody is to hear of, who that is, and by which way the notice goes.

**Never a notice for a notice.** What is one is known by more than its null sender: by its own header section, by its sender's name, and by
whom it was for (`_addressee`). A notice of ours that fails goes to the postmaster, if one is named, and no further: what fails on the way
to the postmaster is logged and counted. So each message that a client sends makes two notices in a row at most, whatever others do.

A notice of ours is known by what nobody else's mail has: no identity and no sender. It enters the spool with the settlement that it
tells of, so that neither is lost without the other; the warning of a delay is marked in that settlement too (`Recipient.warned`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.config.model import BounceTo
from smtp_gateway.content.fields import is_answer
from smtp_gateway.content.notice import DAEMON, notice
from smtp_gateway.content.report import Kind, Original, Report, worst
from smtp_gateway.content.returned import is_returnable
from smtp_gateway.mail.body import beginning
from smtp_gateway.mail.dsn import FULL, NO_DSN
from smtp_gateway.mail.envelope import END_OF_DATA, Envelope
from smtp_gateway.mail.outcome import UNEXPECTED, Deferred, Delivered, Failed
from smtp_gateway.routing.table import is_notice
from smtp_gateway.spool import schedule
from smtp_gateway.spool.api import NewMessage, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from smtp_gateway.config.model import Bounces, Config
    from smtp_gateway.mail.body import Body
    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.mail.outcome import Outcome
    from smtp_gateway.spool.api import Entry
    from smtp_gateway.spool.schedule import Decision, Terms
    from smtp_gateway.telemetry.observer import Observer

_log = structlog.get_logger()

ASKED_DELAY = 4 * 3600.0
"""Seconds after which who asked for NOTIFY=DELAY is told, where the configuration names no time: Sendmail's (confTO_QUEUEWARN) and
Exchange's (DelayNotificationTimeout)."""


class Fate(StrEnum):
    """What became of a notice that was due, as logs and metrics call it."""

    SENDER = "sender"
    """It goes to the sender."""
    POSTMASTER = "postmaster"
    """It goes to the postmaster."""
    DROPPED = "dropped"
    """The configuration wants none."""
    SUPPRESSED = "suppressed"
    """There is nobody to tell: the message is a notice, or an answer to one, itself."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is written down about an attempt, and what came of the notice that was due."""

    settlement: Settlement
    kind: Kind | None = None
    """None: nobody wants to hear of it, and the rest says nothing."""
    fate: Fate = Fate.SUPPRESSED
    to: str = ""
    """Where the notice goes; empty when there is none."""
    outcomes: Mapping[str, Outcome] | None = None
    """What the attempt came to where that is not what was decided, because no notice could be written."""

    @property
    def notice(self) -> MessageId | None:
        """The identifier of the notice; None when there is none."""
        return None if self.settlement.notice is None else self.settlement.notice.id


@dataclass(frozen=True, slots=True)
class _Due:
    """What somebody is to hear of."""

    settlement: Settlement
    """Of the attempt, without a notice."""
    outcomes: Mapping[str, Outcome]
    ends: Mapping[str, float]
    """Until when those are tried that are late."""
    now: float


class Bouncing:
    """Notices as one configuration wants them."""

    def __init__(self, config: Config, new_id: Callable[[float], MessageId]) -> None:
        """Write notices as *config* says, named by *new_id*, which is given the time."""
        self._bounces: Bounces = config.bounces
        self._hostname = config.hostname
        self._new_id = new_id

    def is_late(self, entry: Entry, now: float) -> bool:
        """Tell whether `told` would have something to say at *now* of an attempt that came to nothing but deferrals."""
        warning = self._bounces.delay_warning
        if warning is None and entry.dsn is NO_DSN:
            return False
        return bool(_late(entry, dict.fromkeys((one.address for one in entry.recipients), UNEXPECTED), warning, now))

    def told(self, entry: Entry, body: Body, decision: Decision, terms: Terms, now: float) -> Told:
        """Return *decision*'s settlement of *entry* with the notice about it, if one is due.

        Where no notice can be written, whoever failed is tried again: nobody is given up without a word, and nobody else gets it twice.
        """
        late = _late(entry, decision.outcomes, self._bounces.delay_warning, now)
        due = {address: one for address, one in decision.outcomes.items() if address in late or _wanted(entry, address, one)}
        if not due:
            return Told(decision.settlement)
        found = _Due(_marked(decision.settlement, late), due, {address: terms.end(entry, address) for address in late}, now)
        try:
            return self._noticed(entry, body, found)
        except Exception:  # noqa: BLE001 a header that no one foresaw must not cost the others the record of their delivery
            _log.exception("notice without headers", message_id=entry.id)
        try:
            return self._noticed(entry, END_OF_DATA, found)
        except Exception:  # noqa: BLE001 nor may one that cannot be written at all
            _log.exception("notice not written", message_id=entry.id)
            put_off = {address: Deferred(one.reply, one.hop, one.local) for address, one in decision.failed.items()}
            return Told(_owed_still(entry, decision, terms, now), outcomes={**decision.outcomes, **put_off})

    def _noticed(self, entry: Entry, body: Body, due: _Due) -> Told:
        kind = worst(due.outcomes.values())
        to, fate = _addressee(entry, body, due.outcomes, self._bounces)
        if not to:
            return Told(due.settlement, kind, fate)
        # RET=FULL is disregarded for what may travel under TLS alone: the notice may not (RFC 8689 section 5).
        whole = fate is Fate.SENDER and kind is Kind.FAILURE and entry.dsn.ret == FULL and not entry.requiretls
        whole = whole and isinstance(body, bytes) and is_returnable(body, smtputf8=entry.smtputf8)
        original = Original(entry.id, entry.sender, entry.accepted_at, beginning(body), entry.dsn, entry.smtputf8, whole)
        report = Report(self._new_id(due.now), self._hostname, due.now, to, original, due.outcomes, due.ends)
        return Told(replace(due.settlement, notice=_message(report, requiretls=entry.requiretls)), kind, fate, to)


def tell(told: Told, entry: Entry, observer: Observer) -> None:
    """Tell the log and *observer* what came of the notice about *entry*, if one was due."""
    if told.kind is not None:
        to = [told.to] if told.to else []
        _log.info("notice", message_id=entry.id, kind=told.kind.value, fate=told.fate.value, notice=told.notice, to=to)
        observer.notified(told.kind, told.fate)


def _late(entry: Entry, outcomes: Mapping[str, Outcome], warning: float | None, now: float) -> frozenset[str]:
    """Return the recipients of *entry* whose delay is to be told at *now*: once for each, and to who wants it (RFC 3461 section 5.2.5).

    Nobody waits for a notice, so the delay of one is not told.
    """
    if not entry.sender or not any(isinstance(outcome, Deferred) for outcome in outcomes.values()):
        return frozenset()
    age, asked = now - entry.accepted_at, ASKED_DELAY if warning is None else warning
    patience = {True: asked, False: math.inf, None: math.inf if warning is None else warning}
    return frozenset(
        recipient.address
        for recipient in entry.recipients
        if not recipient.warned
        and isinstance(outcomes.get(recipient.address), Deferred)
        and age >= patience[entry.dsn.about(recipient.address).delay]
    )


def _wanted(entry: Entry, address: str, outcome: Outcome) -> bool:
    """Tell whether *outcome* is to be told: a failure unless it was waived, a success if it was asked for and no next hop will tell it."""
    if isinstance(outcome, Failed):
        return entry.dsn.about(address).failure
    return entry.dsn is not NO_DSN and isinstance(outcome, Delivered) and not outcome.asked and entry.dsn.about(address).success


def _addressee(entry: Entry, body: Body, due: Mapping[str, Outcome], bounces: Bounces) -> tuple[str, Fate]:
    """Return who is told what is *due*, and why; nobody is the empty string.

    Only answers are written to the daemon, by programs that should not have; only notices come from it, of systems that avoid the null
    sender. What lists and applications send (List-*, Precedence, Auto-Submitted: auto-generated) is told of like any other mail: the
    advice of RFC 3834 is for those who answer, and who sends to many has to know which addresses are no more.
    """
    if bounces.to is BounceTo.DROP:
        return "", Fate.DROPPED
    if is_notice(entry):
        postmaster = bounces.postmaster or ""
        again = any(_same(address, postmaster) for address in due)
        return ("", Fate.SUPPRESSED) if again or not postmaster else (postmaster, Fate.POSTMASTER)
    if not entry.sender or _is_daemon(entry.sender) or all(map(_is_daemon, due)) or is_answer(beginning(body)):
        return "", Fate.SUPPRESSED
    if bounces.to is BounceTo.POSTMASTER:
        return bounces.postmaster or "", Fate.POSTMASTER
    return entry.sender, Fate.SENDER


def _owed_still(entry: Entry, decision: Decision, terms: Terms, now: float) -> Settlement:
    """Return *decision*'s settlement with those who failed among the recipients that are tried again, by their routes' curves."""
    waiting = {one.address: one for one in decision.settlement.remaining}
    for one in entry.recipients:
        if one.address in decision.failed:
            again = now + schedule.wait(terms.retries[one.address], one.attempts + 1, 0.0)
            reply = str(decision.failed[one.address].reply)
            waiting[one.address] = replace(one, attempts=one.attempts + 1, last_reply=reply, next_attempt=again)
    remaining = tuple(waiting[one.address] for one in entry.recipients if one.address in waiting)
    return replace(decision.settlement, remaining=remaining, next_attempt=min((one.next_attempt for one in remaining), default=0.0))


def _marked(settlement: Settlement, late: frozenset[str]) -> Settlement:
    """Return *settlement* with the recipients that are *late* marked as warned, so that they are once."""
    if not late:
        return settlement
    remaining = tuple(replace(one, warned=True) if one.address in late else one for one in settlement.remaining)
    return replace(settlement, remaining=remaining)


def _message(report: Report, *, requiretls: bool) -> NewMessage:
    """Return the notice as a message of nobody's: without an identity it counts against no quota.

    It travels as what it is about must (RFC 8689 section 5).
    """
    octets = notice(report)
    envelope = Envelope("", (report.to,), smtputf8=not report.to.isascii(), body_8bit=not octets.isascii(), requiretls=requiretls)
    return NewMessage(report.id, envelope, octets, report.now)


def _is_daemon(address: str) -> bool:
    return address.rpartition("@")[0].lower() == DAEMON


def _same(address: str, other: str) -> bool:
    return address.lower() == other.lower()
