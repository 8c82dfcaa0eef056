"""One probe of a smarthost: a session as a delivery would open it, NOOP, QUIT (RFC 5321 section 4.1.1.9). No mail.

A session comes about by the delivery's own code, so what a probe finds is what mail would find. Nothing is raised.

Deliveries learn from it: which smarthosts are tried last, and on which port. A probe begins with the configured port each time, so that
mail goes back to it once it answers again, and no message has to find that out.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from smtp_gateway.config.report import BESIDE_PORT_25, Cause
from smtp_gateway.delivery.connection import open_connection
from smtp_gateway.delivery.faults import HopUnusableError, SessionError, SilentPortError, TlsUnusableError
from smtp_gateway.delivery.reachability import Reachability
from smtp_gateway.delivery.reaching import addresses_on
from smtp_gateway.delivery.session import Hop, open_session, ways
from smtp_gateway.mail.outcome import Deferred, Delivered
from smtp_gateway.mail.reply import Reply
from smtp_gateway.probing.causes import cause_of, clipped, sentence_of
from smtp_gateway.resolver import LookupFailedError, NoSuchNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.config.model import Smarthost
    from smtp_gateway.delivery.session import Session
    from smtp_gateway.delivery.settings import Settings
    from smtp_gateway.resolver import Resolver

SMTP_PORT = 25
"""The port that networks block: mail between servers (RFC 5321 section 4.5.4.2)."""

UNKNOWN_COMMAND = (500, 502)
"""Replies to NOOP of servers that lack it, against RFC 5321 section 4.5.1; they take mail all the same."""
_SAME_EVERYWHERE = (None, Cause.AUTHENTICATION_REJECTED, Cause.TOKEN_UNAVAILABLE)
"""What another address of the same host would not change; each refusal counts as one more failed login."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a probe waits; for a session less than a delivery would, because a probe comes again."""

    connect: float = 10.0
    session: float = 60.0
    """For everything on one connection: some servers greet late on purpose, up to half a minute."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found."""

    cause: Cause | None = None
    """None when the smarthost is reachable."""
    reply: str = ""
    """Its reply to NOOP or to what it refused, or what happened instead, in a sentence."""
    silent: bool = False
    """Whether nobody greeted, or nothing came any more: another port may answer."""
    port: int | None = None
    """The alternate port that this is about; None when it is about the smarthost's own."""

    @property
    def answered(self) -> bool:
        """Whether its host has said anything that counts: a session came about, or was refused in words."""
        return self.cause in {None, Cause.REJECTED, Cause.AUTHENTICATION_REJECTED}


class Probe:
    """How smarthosts are probed."""

    def __init__(
        self, resolver: Resolver, settings: Settings, patience: Patience | None = None, reachability: Reachability | None = None
    ) -> None:
        """Resolve names by *resolver*, open sessions as *settings* say, and let deliveries know by *reachability* what was found."""
        self._resolver = resolver
        self._reachability = reachability or Reachability()
        self._patience = patience or Patience()
        # Each step may take longer than all of them together, so that there is one sentence for "too late".
        step = self._patience.session * 2
        waits = {"connect": self._patience.connect, "greeting": step, "hello": step, "start_tls": step, "mail": step}
        self._settings = replace(settings, timeouts=replace(settings.timeouts, **waits))

    async def __call__(self, smarthost: Smarthost) -> Finding:
        """Ask *smarthost*: one address after another until one is of use, and where nobody answers on the next port.

        What the first port came to counts where all are silent.
        """
        finding = await self._ask(smarthost)
        if finding.answered:
            self._reachability.reached(smarthost, finding.port or smarthost.port)
        else:
            self._reachability.missed(smarthost)
        return finding

    async def _ask(self, smarthost: Smarthost) -> Finding:
        try:
            addresses = await self._resolver.addresses(smarthost.host)
        except (NoSuchNameError, LookupFailedError) as fault:
            return Finding(cause_of(fault), sentence_of(Reply(451, "", f"Looking up the name failed: {fault}"), local=True))
        finding = await self._on(smarthost.port, smarthost, addresses)
        if finding.silent:
            for port in smarthost.alternate_ports:
                beside = await self._on(port, smarthost, addresses)
                if not beside.silent:
                    # Without its reply where it is well: some servers number those to NOOP, and a status must not change with each probe.
                    there = f"on port {port} it answers" if beside.cause is None else f"on port {port}: {beside.reply}"
                    return replace(beside, port=port, reply=clipped(f"{finding.reply}; {there}"))
        if finding.cause is Cause.TIMEOUT and smarthost.port == SMTP_PORT:
            return await self._beside(addresses_on(smarthost.port, smarthost, addresses), finding)
        return finding

    async def _on(self, port: int, smarthost: Smarthost, addresses: Sequence[str]) -> Finding:
        """Ask on *port*, one address after another; what the last one that answered came to counts for all, or the last one's silence."""
        finding = Finding(silent=True)
        for address in addresses_on(port, smarthost, addresses):
            found = await self._at(Hop.at(address, port, smarthost))
            if found.cause in _SAME_EVERYWHERE:
                return found
            finding = found if finding.silent or not found.silent else finding
        return finding

    async def _at(self, hop: Hop) -> Finding:
        try:
            async with asyncio.timeout(self._patience.session):
                return await self._converse(hop)
        except HopUnusableError as fault:
            local = not isinstance(fault.outcome, Delivered) and fault.outcome.local
            return Finding(cause_of(fault), sentence_of(fault.outcome.reply, local=local), isinstance(fault, SilentPortError))
        except SessionError as fault:
            return Finding(cause_of(fault), sentence_of(Reply(451, "", str(fault)), local=True))
        except TimeoutError as fault:
            return Finding(cause_of(fault), f"No session within {self._patience.session:g} s", silent=True)

    async def _converse(self, hop: Hop) -> Finding:
        """Return what a session that comes about finds. Raises `HopUnusableError` or `SessionError`."""
        session = await self._session(hop)
        try:
            reply = await session.connection.exchange("NOOP", self._settings.timeouts.mail)
        finally:
            session.connection.leave(self._settings.timeouts.goodbye)
        if not reply.positive and reply.code not in UNKNOWN_COMMAND:
            raise HopUnusableError(Deferred(reply, str(hop)))
        return Finding(None, sentence_of(reply, local=False))

    async def _session(self, hop: Hop) -> Session:
        """Open a session in the first way that a delivery would get one. Raises `HopUnusableError` or `SessionError`."""
        *first, last = ways(hop)
        for way in first:
            with suppress(TlsUnusableError):
                return await open_session(way, self._settings)
        return await open_session(last, self._settings)

    async def _beside(self, addresses: Sequence[str], finding: Finding) -> Finding:
        """Return *finding*, which is silence on port 25, or that only this port is silent."""
        places = [(address, port) for port in BESIDE_PORT_25 for address in addresses]
        answers = await asyncio.gather(*(self._answers(address, port) for address, port in places))
        found = next((port for (_, port), answered in zip(places, answers, strict=True) if answered), None)
        if found is None:
            return finding
        return replace(finding, cause=Cause.PORT_25_BLOCKED, reply=clipped(f"{finding.reply}; the same host answers on port {found}"))

    async def _answers(self, address: str, port: int) -> bool:
        """Tell whether a mail server greets there: a connection alone may be a proxy's."""
        try:
            connection = await open_connection(address, port, self._patience.connect)
        except SessionError:
            return False
        try:
            await connection.reply(self._patience.connect)
        except SessionError:
            return False
        finally:
            connection.leave(self._settings.timeouts.goodbye)
        return True
