"""Mail to next hops: the first one that holds a session gets the message, and each recipient gets an outcome.

Failover ends where the mail begins: once a next hop has answered to EHLO, its answers count, and a temporary one defers. Giving the
same mail to the second hop after the first one was half-way would deliver it twice. A connection lost after the end of data is
temporary too: whether the next hop took the mail is unknown, and twice is better than not at all (RFC 5321 section 4.5.5 and RFC 1047).

A kept session may have been closed by the next hop meanwhile. When it ends before it has answered anything about this message, or
with 421 or a refused RSET, or has forgotten who we are (530), the message goes over a fresh one in the same attempt; never later, because
then it might go twice.

`deliver` raises nothing that a next hop can cause. What would not be safe to send is not sent, deferred, and logged as an error.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.delivery import requiretls, wire
from smtp_gateway.delivery.connection import CLOSING
from smtp_gateway.delivery.faults import CredentialsRefusedError, HopUnusableError, LeadsBackError, SessionError
from smtp_gateway.delivery.pool import Kept, Pool
from smtp_gateway.delivery.reachability import Reachability
from smtp_gateway.delivery.reaching import Reaching
from smtp_gateway.delivery.refusals import Refusals
from smtp_gateway.delivery.transaction import Mail, Transaction
from smtp_gateway.mail.outcome import UNEXPECTED, Deferred, Delivered, Outcome, unreached

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from smtp_gateway.config.model import Smarthost
    from smtp_gateway.delivery.settings import Settings
    from smtp_gateway.resolver import Resolver

_log = structlog.get_logger()

RECIPIENTS = 100
"""Recipients of one transaction: as many as every server takes (RFC 5321 section 4.5.3.1.8). Postfix sends 50 at a time
(default_destination_recipient_limit)."""
_TOO_MANY = (452, 552)


class StaleError(Exception):
    """A kept session turned out to be of no use before it took anything: a fresh one may be tried."""


class Client:
    """Delivers over SMTP, in sessions that are kept for the next message."""

    def __init__(self, resolver: Resolver, settings: Settings, reachability: Reachability | None = None) -> None:
        """Resolve names by *resolver*, hold sessions as *settings* say, and keep in mind which next hops could be reached."""
        self._reachability = reachability or Reachability()
        self._reaching = Reaching(resolver, settings, self._reachability)
        self._settings = settings
        self._pool = Pool(settings.reuse, settings.timeouts.goodbye)
        self._refusals = Refusals()

    def close(self) -> None:
        """End the sessions that nobody uses, and the others when they are not used any more."""
        self._pool.close()

    def retry_refused(self) -> None:
        """Offer credentials again that were refused: whoever mended them need not wait."""
        self._refusals.forget()

    async def deliver(self, mail: Mail, hops: Sequence[Smarthost], told: dict[str, Outcome] | None = None) -> Mapping[str, Outcome]:
        """Try *hops* until one holds a session, and return an outcome for each recipient of *mail*.

        They are tried in their order, but for those that could not be reached lately: these are tried last. What a transaction came to is
        in *told* as soon as it is over, also when a later one is interrupted.
        """
        outcomes = _unsafe(mail)
        owed = [address for address in mail.envelope.recipients if address not in outcomes]
        while owed:
            portion = tuple(owed[:RECIPIENTS])
            found = await self._portion(hops, mail, portion)
            outcomes |= found
            if told is not None:
                told |= found
            del owed[:RECIPIENTS]
            if missed := unreached(found.values()):
                return outcomes | dict.fromkeys(owed, missed)
            owed[:0] = surplus(found)
        return outcomes

    async def _portion(self, hops: Sequence[Smarthost], mail: Mail, recipients: tuple[str, ...]) -> dict[str, Outcome]:
        """Hand *mail* over for as many recipients as fit into one transaction."""
        missed: list[HopUnusableError] = []
        behind: Sequence[Smarthost] = ()
        for hop in self._reachability.in_order(hops):
            if behind and hop in behind:
                continue
            try:
                return await self._over(hop, mail, recipients)
            except LeadsBackError as fault:
                missed, behind = missed or [fault], hops[hops.index(hop) :]
            except HopUnusableError as fault:
                missed.append(fault)
                self._reachability.told(hop, fault.outcome)
        last = UNEXPECTED if not missed else requiretls.outcome(missed) if mail.envelope.demands_tls else missed[-1].outcome
        return dict.fromkeys(recipients, last)

    async def _over(self, hop: Smarthost, mail: Mail, recipients: tuple[str, ...]) -> dict[str, Outcome]:
        """Hand *mail* over in a kept session or, when there is none that is of use, in a fresh one. Raises `HopUnusableError`."""
        kept = self._pool.take(hop)
        if kept is not None:
            with suppress(StaleError):
                return await self._transact(kept, mail, recipients)
        self._refusals.check(hop)
        try:
            fresh = Kept(await self._reaching.session(hop), hop, time.monotonic())
        except CredentialsRefusedError as fault:
            self._refusals.note(hop, fault)
            raise
        self._refusals.accepted(hop)
        return await self._transact(fresh, mail, recipients)

    async def _transact(self, kept: Kept, mail: Mail, recipients: tuple[str, ...]) -> dict[str, Outcome]:
        """Do one transaction, and keep the session if it is of further use. Raises `StaleError`, for a used session only."""
        transaction = Transaction(kept.session, mail, recipients, self._settings.timeouts)
        try:
            await self._reset(kept)
            shared = await transaction.run()
        except SessionError as fault:
            self._pool.leave(kept)
            if kept.carried and not transaction.replies:
                raise StaleError from fault
            # The next hop was there: what happened may have to do with this message alone.
            shared = replace(fault.deferral(str(kept.session.hop)), unreached=False)
        except BaseException:
            self._pool.leave(kept)
            raise
        else:
            self._after(kept, transaction)
        return {address: transaction.told.get(address, shared) for address in recipients}

    async def _reset(self, kept: Kept) -> None:
        """End what an earlier transaction left open (RFC 5321 section 4.1.1.5). Raises `StaleError` or `SessionError`."""
        if kept.dirty and not (await kept.session.connection.exchange("RSET", self._settings.timeouts.mail)).positive:
            raise StaleError

    def _after(self, kept: Kept, transaction: Transaction) -> None:
        """Keep the session or leave it. Raises `StaleError` when a used one was closed (421), or knows us no more, before it took anything."""
        if not (transaction.closing or transaction.forgotten):
            kept.dirty = not transaction.settled
            self._pool.give_back(kept)
            return
        self._pool.leave(kept)
        if kept.carried and (transaction.forgotten or transaction.replies[0].code == CLOSING):
            raise StaleError


def surplus(found: Mapping[str, Outcome]) -> list[str]:
    """Return the recipients that were too many in a transaction that others went with: they go with the next one, at once.

    452 means that at RCPT, and 552 with some older servers (RFC 5321 section 4.5.3.1.10). Each transaction takes at least one more.
    """
    if not any(isinstance(outcome, Delivered) for outcome in found.values()):
        return []
    return [address for address, outcome in found.items() if isinstance(outcome, Deferred) and outcome.reply.code in _TOO_MANY]


def _unsafe(mail: Mail) -> dict[str, Outcome]:
    """Return a deferral for each recipient that cannot be sent safely: all of them when it is the body or the sender."""
    envelope = mail.envelope
    unsafe = tuple(address for address in envelope.recipients if not wire.safe_mailbox(address))
    reason = "an address holds octets that end it early"
    if envelope.sender and not wire.safe_mailbox(envelope.sender):
        unsafe = envelope.recipients
    try:
        if isinstance(mail.body, bytes):
            wire.check_body(mail.body)
    except wire.UnsafeOctetsError as fault:
        unsafe, reason = envelope.recipients, str(fault)
    if unsafe:
        _log.error("unsafe octets", reason=reason, recipients=len(unsafe))
    return dict.fromkeys(unsafe, UNEXPECTED)
