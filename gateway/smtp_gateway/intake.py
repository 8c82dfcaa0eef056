"""The conductor before the spool: from a complete message to the reply that takes responsibility for it, or says why not.

A reply of 250 is given only after `Spool.put` returned, that is after neither a crash nor a power cut can lose the message. Everything
else is temporary (451, 452) and leaves the message with its client; only a message that goes in circles is refused for good.

What can go wrong: the spool is full or broken (logged as `postponed` with the cause), or anything unforeseen (logged whole, answered
451 4.3.0). A client that hangs up while its message is being made durable may send it again: a duplicate, never a loss (RFC 1047).
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import structlog

from smtp_gateway.content import received
from smtp_gateway.mail import reply
from smtp_gateway.mail.identifier import ENTROPY, message_id
from smtp_gateway.mail.reply import Reply
from smtp_gateway.spool.api import FULL, NewMessage, SpoolFullError, SpoolUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.config.model import Config
    from smtp_gateway.mail.envelope import Envelope, Peer
    from smtp_gateway.spool.api import Entry, Spool
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
        self.room.octets = max(ROOM, 4 * config.limits.message_size)

    def unwilling(self) -> Reply | None:
        """Return the reply to MAIL while the spool cannot take mail, so that no client uploads in vain; None when it can."""
        reason = self._spool.healthy()
        if reason is None:
            return None
        return reply.SPOOL_FULL if reason == FULL else reply.TRY_AGAIN_LATER

    async def accept(self, peer: Peer, envelope: Envelope, body: bytes) -> Reply:
        """Take responsibility for one message (*body* in wire form), or say why not. Never raises but when cancelled."""
        # Shielded: a client that hangs up now cancels its session, but not the writing of the log line and the wake-up that belong
        # to a message which is already on the disk.
        return await asyncio.shield(self._accept(peer, envelope, body))

    async def _accept(self, peer: Peer, envelope: Envelope, body: bytes) -> Reply:
        if received.hops(body) > received.HOPS_LIMIT:
            return TOO_MANY_HOPS
        message, octets = self._message(peer, envelope, body)
        welcome = self._onward.welcomes(message.identity)
        try:
            entry = await self._spool.put(message, leased=welcome)
        except SpoolFullError as fault:
            return self._postpone(peer, message, reply.SPOOL_FULL, fault)
        except SpoolUnavailableError as fault:
            return self._postpone(peer, message, reply.TRY_AGAIN_LATER, fault)
        except Exception as fault:  # noqa: BLE001 whatever it is, the client keeps its message and the log gets the cause
            return self._postpone(peer, message, reply.TRY_AGAIN_LATER, fault)
        self._tell(peer, message)
        if welcome:
            self._onward.take(entry, octets)
        else:
            self._onward.wake()
        return reply.queued(message.id)

    def _message(self, peer: Peer, envelope: Envelope, body: bytes) -> tuple[NewMessage, bytes]:
        """Return the message as it is to be kept, and its octets."""
        now = self._sources.clock()
        identifier = message_id(now, self._sources.entropy(ENTROPY))
        trace = received.received(peer, self.config.hostname, identifier, now, smtputf8=envelope.smtputf8)
        unique = replace(envelope, recipients=_without_duplicates(envelope.recipients))
        octets = trace + body
        return NewMessage(identifier, unique, octets, now, peer.identity or ""), octets

    def _tell(self, peer: Peer, message: NewMessage) -> None:
        recipients, octets = len(message.envelope.recipients), message.size
        self._observer.accepted(peer, recipients, octets)
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

    def _postpone(self, peer: Peer, message: NewMessage, answer: Reply, fault: Exception) -> Reply:
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


def _without_duplicates(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Return *addresses* in their order, each once: domains compare without case, local parts with it (RFC 5321 section 2.4)."""
    first: dict[tuple[str, str], str] = {}
    for address in addresses:
        local, _, domain = address.rpartition("@")
        first.setdefault((local, domain.lower()), address)
    return tuple(first.values())
