"""Mail to next hops: the first one that holds a session gets the message, and each recipient gets an outcome.

Failover ends where the mail begins: once a next hop has answered to EHLO, its answers count, and a temporary one defers. Giving the
same mail to the second hop after the first one was half-way would deliver it twice. A connection lost after the end of data is
temporary too: whether the next hop took the mail is unknown, and twice is better than not at all (RFC 5321 section 4.5.5 and RFC 1047).

`deliver` raises nothing that a next hop can cause. What would not be safe to send is not sent, deferred, and logged as an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.delivery import wire
from smtp_gateway.delivery.faults import HopUnusableError, SessionError, UnknownHostError
from smtp_gateway.delivery.session import Hop, Session, open_session
from smtp_gateway.mail.outcome import UNEXPECTED, Deferred, Failed, Outcome, Phase, judge
from smtp_gateway.mail.reply import Reply
from smtp_gateway.resolver import LookupFailedError, NoSuchNameError, Resolver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from smtp_gateway.config.model import Smarthost
    from smtp_gateway.delivery.settings import Settings
    from smtp_gateway.mail.envelope import Envelope

_log = structlog.get_logger()

ADDRESSES = 5
"""Addresses of one next hop that one attempt tries, as in Postfix (smtp_mx_address_limit): a long list must not hold a message for hours."""
_GO_AHEAD = 354
_CLOSING = 421
_NEEDS_SMTPUTF8 = Failed(Reply(553, "5.6.7", "The message needs SMTPUTF8, which the next hop does not offer"), local=True)
"""RFC 6531 section 3.5 and 3.7.4: such a message is rejected, never downgraded."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One message for those of its recipients that share a next hop."""

    envelope: Envelope
    body: bytes
    """In wire form."""


class Client:
    """Delivers over SMTP, with one connection for each attempt."""

    def __init__(self, resolver: Resolver, settings: Settings) -> None:
        """Resolve names by *resolver* and hold sessions as *settings* say."""
        self._resolver = resolver
        self._settings = settings

    async def deliver(self, mail: Mail, hops: Sequence[Smarthost]) -> Mapping[str, Outcome]:
        """Try *hops* in order until one holds a session, and return an outcome for each recipient of *mail*."""
        refused = _unsafe(mail)
        recipients = tuple(address for address in mail.envelope.recipients if address not in refused)
        if not recipients:
            return refused
        last: Outcome = UNEXPECTED
        async for hop in self._addresses(hops):
            if isinstance(hop, Deferred):
                last = hop
                continue
            try:
                session = await open_session(hop, self._settings)
            except HopUnusableError as fault:
                last = fault.outcome
                continue
            return refused | await self._transact(session, mail, recipients)
        return refused | dict.fromkeys(recipients, last)

    async def _addresses(self, hops: Sequence[Smarthost]) -> AsyncIterator[Hop | Deferred]:
        """Yield each address of each hop, looked up only when its turn comes; or why a hop has none."""
        for hop in hops:
            try:
                found = await self._resolver.addresses(hop.host)
            except (NoSuchNameError, LookupFailedError) as fault:
                # A configured name that does not exist may be a Service that is not there yet: temporary, as everything here.
                yield UnknownHostError(f"Looking up the next hop failed: {fault}").deferral(f"{hop.host.rstrip('.')}:{hop.port}")
                continue
            for address in found[:ADDRESSES]:
                yield Hop(hop.host, address, hop.port, hop.tls)

    async def _transact(self, session: Session, mail: Mail, recipients: tuple[str, ...]) -> dict[str, Outcome]:
        """Hand *mail* over in *session* and end it. What was refused by name keeps its answer; the rest shares the last one."""
        told: dict[str, Outcome] = {}
        try:
            shared = await self._transaction(session, mail, recipients, told)
        except SessionError as fault:
            shared = replace(fault.deferral(str(session.hop)), unreached=False)
        finally:
            session.connection.leave(self._settings.timeouts.goodbye)
        return {address: told.get(address, shared) for address in recipients}

    async def _transaction(self, session: Session, mail: Mail, recipients: tuple[str, ...], told: dict[str, Outcome]) -> Outcome:
        """Do MAIL, RCPT and DATA (RFC 5321 section 3.3); return the outcome of all recipients that are not in *told* afterwards."""
        connection, hop, patience = session.connection, str(session.hop), self._settings.timeouts
        if needs_smtputf8(mail) and "SMTPUTF8" not in session.extensions:
            return _NEEDS_SMTPUTF8
        reply = await connection.exchange(mail_command(mail, session.extensions), patience.mail)
        if not reply.positive:
            return judge(Phase.MAIL, reply, hop)
        for address in recipients:
            reply = await connection.exchange(f"RCPT TO:<{address}>", patience.rcpt)
            if reply.code == _CLOSING:
                return judge(Phase.RCPT, reply, hop)
            if not reply.positive:
                told[address] = judge(Phase.RCPT, reply, hop)
        if len(told) == len(recipients):
            return judge(Phase.RCPT, reply, hop)
        reply = await connection.exchange("DATA", patience.data)
        if reply.code != _GO_AHEAD:
            return judge(Phase.DATA, reply, hop)
        return judge(Phase.END_OF_DATA, await connection.send_body(mail.body, patience.block, patience.end_of_data), hop)


def mail_command(mail: Mail, extensions: frozenset[str]) -> str:
    """Return the MAIL command with the parameters that the next hop offers and the message needs.

    SIZE is an estimate, as RFC 1870 section 6.3 allows: the doubled dots are counted, the end of data is not. Eight-bit content goes
    out as it is where 8BITMIME is not offered: such servers take it in practice, and re-encoding would break signatures.
    """
    parameters = (
        f"SIZE={len(mail.body) - 3}" if "SIZE" in extensions else "",
        "BODY=8BITMIME" if mail.envelope.body_8bit and "8BITMIME" in extensions else "",
        "SMTPUTF8" if mail.envelope.smtputf8 and "SMTPUTF8" in extensions else "",
    )
    return " ".join((f"MAIL FROM:<{mail.envelope.sender}>", *filter(None, parameters)))


def needs_smtputf8(mail: Mail) -> bool:
    """Tell whether an address or a header of *mail* is beyond ASCII; a client may have declared SMTPUTF8 without needing it."""
    envelope = mail.envelope
    if not all(address.isascii() for address in (envelope.sender, *envelope.recipients)):
        return True
    return envelope.smtputf8 and not mail.body[: mail.body.find(b"\r\n\r\n") + 1].isascii()


def _unsafe(mail: Mail) -> dict[str, Outcome]:
    """Return a deferral for each recipient that cannot be sent safely: all of them when it is the body or the sender."""
    envelope = mail.envelope
    unsafe = tuple(address for address in envelope.recipients if not wire.safe_mailbox(address))
    reason = "an address holds octets that end it early"
    if envelope.sender and not wire.safe_mailbox(envelope.sender):
        unsafe = envelope.recipients
    try:
        wire.check_body(mail.body)
    except wire.UnsafeOctetsError as fault:
        unsafe, reason = envelope.recipients, str(fault)
    if unsafe:
        _log.error("unsafe octets", reason=reason, recipients=len(unsafe))
    return dict.fromkeys(unsafe, UNEXPECTED)
