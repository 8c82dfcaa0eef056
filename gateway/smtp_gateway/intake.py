"""The conductor before the spool: from a complete message to the reply that takes responsibility for it, or says why not.

A reply of 250 is given only when the future of `Spool.put` is done, that is after neither a crash nor a power cut can lose the message. Everything
else is temporary (451, 452) and leaves the message with its client; only a message that goes in circles, or whose header section is endless, is refused for good.

What can go wrong: the spool is full or broken (logged as `postponed` with the cause), or anything unforeseen (logged whole, answered
451 4.3.0). A client that hangs up while its message is being made durable may send it again: a duplicate, never a loss (RFC 1047). What
belongs to a durable message (the log line, the count, the delivery) is done whether or not its client is still there.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from smtp_gateway.config.model import ClientAddress
from smtp_gateway.content import received, submission
from smtp_gateway.content.authors import authors
from smtp_gateway.content.origin import Origin
from smtp_gateway.mail import reply
from smtp_gateway.mail.identifier import ENTROPY, message_id
from smtp_gateway.mail.reply import Reply
from smtp_gateway.policy.senders import SenderRules
from smtp_gateway.spool.api import FULL, NewMessage, SpoolFullError, SpoolUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.config.model import Config
    from smtp_gateway.mail.envelope import Envelope, MessageId, Peer
    from smtp_gateway.spool.api import Draft, Entry, Spool
    from smtp_gateway.telemetry.observer import Observer

ROOM = 64 * 1024 * 1024
"""Octets of bodies that all sessions together may hold on their way to the spool: what a thousand clients of small mail need, and far
below a pod's memory. Never less than four messages of the largest size."""
TOO_MANY_HOPS = Reply(554, "5.4.6", "Too many hops: the message goes in circles")

_log = structlog.get_logger()


class Room:
    """A bound on octets held at once."""

    def __init__(self, octets: int) -> None:
        """Have room for *octets*."""
        self.octets = octets
        self._held = 0

    def take(self, octets: int) -> bool:
        """Hold *octets* more; False, and nothing is held, when there is no room for them."""
        if self._held + octets > self.octets:
            return False
        self._held += octets
        return True

    def give(self, octets: int) -> None:
        """Let go of *octets*."""
        self._held -= octets

    @property
    def held(self) -> int:
        """Octets held now."""
        return self._held


@dataclass(frozen=True, slots=True)
class Sources:
    """Where time and chance come from."""

    clock: Callable[[], float] = time.time
    entropy: Callable[[int], bytes] = os.urandom


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that has a name and no whole body yet."""

    id: MessageId
    peer: Peer
    envelope: Envelope
    accepted_at: float
    """Seconds since the epoch."""
    trace: bytes
    """What its body begins with: the trace header, and the fields that it lacked."""
    changes: submission.Changes
    """What is left out of it."""


@dataclass(slots=True)
class _Custody:
    """A message that is being made durable."""

    peer: Peer
    message: NewMessage
    leased: bool
    answer: Callable[[Reply], None]
    began: float
    """When it was whole, on the clock of `time.perf_counter`."""


class Onward(Protocol):
    """Where messages go from here, once they are durable."""

    def welcomes(self, identity: str) -> bool:
        """Tell whether a new message of *identity* can be taken at once."""

    def take(self, entry: Entry, body: bytes) -> None:
        """Deliver *entry*, which is leased."""

    def wake(self) -> None:
        """Look at the queue: a message has entered it."""


class Intake:
    """Takes messages into the spool."""

    def __init__(self, spool: Spool, config: Config, observer: Observer, onward: Onward, sources: Sources | None = None) -> None:
        """Put into *spool*, and hand each message *onward*, so that its delivery neither waits nor reads it again."""
        self._spool = spool
        self._observer = observer
        self._onward = onward
        self._sources = sources or Sources()
        self.room = Room(ROOM)
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        """Follow *config* from the next message on; sessions keep what they were greeted with."""
        self.config = config
        self.rules = SenderRules(config.senders)
        self._anonymous = config.headers.client_address is ClientAddress.OMIT
        self.room.octets = max(ROOM, 4 * config.limits.message_size)

    def unwilling(self) -> Reply | None:
        """Return the reply to MAIL while the spool cannot take mail, so that no client uploads in vain; None when it can."""
        reason = self._spool.healthy()
        if reason is None:
            return None
        return reply.SPOOL_FULL if reason == FULL else reply.TRY_AGAIN_LATER

    def begin(self, peer: Peer, envelope: Envelope, head: bytes) -> Incoming | Reply:
        """Name a message from *peer*, whose body begins with *head*, or say why it is refused.

        *head* is all of it, or more than `submission.HEAD_LIMIT` octets.
        """
        section = received.header_section(head).lower()
        if received.circles(section):
            return TOO_MANY_HOPS
        if self.rules.bind(peer.identity) and (refused := self.rules.authors(peer.identity, authors(head))):
            return refused
        now = self._sources.clock()
        origin = Origin(message_id(now, self._sources.entropy(ENTROPY)), self.config.hostname, now)
        changes = submission.AS_IT_IS if submission.usual(head, section) else _changes(peer, head, len(section), origin)
        if isinstance(changes, Reply):
            return changes
        anonymous = self._anonymous and peer.login is not None
        trace = received.received(peer, origin, smtputf8=envelope.smtputf8, anonymous=anonymous)
        return Incoming(origin.id, peer, _unique(envelope), now, trace + changes.before, changes)

    def draft(self, incoming: Incoming, head: bytes) -> Draft:
        """Return where the body of *incoming*, which begins with *head*, is written while it arrives; `accept` gets it when it is whole."""
        draft = self._spool.draft(incoming.id)
        draft.write(incoming.trace + incoming.changes.apply(head))
        return draft

    def accept(self, incoming: Incoming, body: bytes | Draft, answer: Callable[[Reply], None]) -> None:
        """Take responsibility for a message (*body* in wire form, whole), or say why not: by one call of *answer*, later. Never raises."""
        began = time.perf_counter()
        whole = incoming.trace + incoming.changes.apply(body) if isinstance(body, bytes) else body
        message = NewMessage(incoming.id, incoming.envelope, whole, incoming.accepted_at, incoming.peer.identity or "")
        # A draft's octets are on the disk: its delivery begins by reading them, like that of any other queued message.
        leased = isinstance(body, bytes) and self._onward.welcomes(message.identity)
        try:
            put = self._spool.put(message, leased=leased)
        except Exception as fault:  # noqa: BLE001 whatever it is, the client keeps its message and the log gets the cause
            put = asyncio.get_running_loop().create_future()
            put.set_exception(fault)
        put.add_done_callback(partial(self._conclude, _Custody(incoming.peer, message, leased, answer, began)))

    def _conclude(self, custody: _Custody, put: asyncio.Future[Entry]) -> None:
        peer, message = custody.peer, custody.message
        fault = asyncio.CancelledError() if put.cancelled() else put.exception()
        if fault is not None:
            custody.answer(self._postpone(peer, message, fault))
            return
        try:
            self._tell(peer, message, time.perf_counter() - custody.began)
        finally:  # whatever fails around it, the client is answered, and a message that is leased gets where nobody else would take it
            try:
                custody.answer(reply.queued(message.id))
            finally:
                self._hand_on(custody, put.result())

    def _hand_on(self, custody: _Custody, entry: Entry) -> None:
        if custody.leased and isinstance(custody.message.body, bytes):
            self._onward.take(entry, custody.message.body)
        else:
            self._onward.wake()

    def _tell(self, peer: Peer, message: NewMessage, seconds: float) -> None:
        recipients, octets = len(message.envelope.recipients), message.size
        self._observer.accepted(peer, recipients, octets, seconds)
        _log.info(
            "accepted",
            message_id=message.id,
            sender=message.envelope.sender,
            recipients=recipients,
            octets=octets,
            identity=message.identity,
            peer=peer.address,
            listener=peer.listener,
        )

    def _postpone(self, peer: Peer, message: NewMessage, fault: BaseException) -> Reply:
        if not isinstance(message.body, bytes):
            message.body.discard()
        answer = reply.SPOOL_FULL if isinstance(fault, SpoolFullError) else reply.TRY_AGAIN_LATER
        self._observer.postponed(peer, answer)
        expected = isinstance(fault, SpoolUnavailableError)
        _log.error(
            "postponed",
            message_id=message.id,
            reason=str(fault),
            reply=str(answer),
            peer=peer.address,
            listener=peer.listener,
            exc_info=None if expected else fault,
        )
        return answer


def _changes(peer: Peer, head: bytes, section: int, origin: Origin) -> submission.Changes | Reply:
    """Return what is done to a message: who has a login submits it, whatever the port, and all others have it relayed."""
    return submission.relayed(head) if peer.login is None else submission.submitted(head, section, origin)


def _unique(envelope: Envelope) -> Envelope:
    """Return *envelope* with each recipient once, in their order: domains compare without case, local parts with it.

    RFC 5321 section 2.4.
    """
    if len(envelope.recipients) == 1:
        return envelope
    first: dict[tuple[str, str], str] = {}
    for address in envelope.recipients:
        local, _, domain = address.rpartition("@")
        first.setdefault((local, domain.lower()), address)
    return replace(envelope, recipients=tuple(first.values()))
