"""After the spool: what is due is leased, routed, delivered, and its result written down.

Promises: a message is in one attempt at a time; the bounds of `spool.window` hold; no fault of one message ends the loop, and one that
nobody foresaw is a deferral with its whole cause in the log. What was delivered is written down before its lease ends: while the
spool cannot write, the result is kept and offered again, because an unwritten delivery would be made twice.

A process that dies between a next hop's 250 and the settlement delivers twice; that is the one place where it can happen, and
`spool.window` bounds how many messages are there.
"""

from __future__ import annotations

import asyncio
import math
import random
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from smtp_gateway import accounting, bouncing
from smtp_gateway.bouncing import Bouncing
from smtp_gateway.delays import Delays, Hands
from smtp_gateway.delivery.client import Client
from smtp_gateway.delivery.reachability import Reachability
from smtp_gateway.delivery.settings import Settings, Timeouts
from smtp_gateway.delivery.tokens import Tokens
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.delivery.trust import Trust
from smtp_gateway.faring import Chance, Faring
from smtp_gateway.mail.body import DamagedBodyError
from smtp_gateway.mail.envelope import Envelope, MessageId
from smtp_gateway.mail.identifier import ENTROPY, message_id
from smtp_gateway.mail.outcome import UNEXPECTED, Outcome
from smtp_gateway.outgoing import Leaving, Outgoing
from smtp_gateway.rates.sharing import WHOLE, Share
from smtp_gateway.resolver import Resolver
from smtp_gateway.routing.exchangers import SMTP_PORT, MxTerms, next_hops
from smtp_gateway.routing.table import Batch, Table, answered
from smtp_gateway.spool import schedule
from smtp_gateway.spool.api import Entry, Settlement, Spool, SpoolUnavailableError
from smtp_gateway.spool.window import Bounds, InHand, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from smtp_gateway.config.model import Config
    from smtp_gateway.mail.body import Body
    from smtp_gateway.pacing import Standing
    from smtp_gateway.telemetry.observer import Observer

_log = structlog.get_logger()

BATCHES = 5
"""Next hops that one message is handed to at the same time; a message for a hundred domains must not take a hundred connections."""
IN_HAND = 16 * 1024 * 1024
"""Octets of bodies that are kept from acceptance to delivery: some 4,000 small ones. What does not fit is read from the spool."""
STRIDE = 50
"""Messages that are leased in one turn of the event loop, in less than half a millisecond: others wait for that."""
FULL_AGAIN = 5.0
"""Seconds after which a full window is looked at for what stands in the way, even if nothing happens."""
LAST_WORDS = 0.5
"""Seconds in which attempts that are interrupted may write down what some of their next hops have answered."""
LOOK_AGAIN = 60.0
"""Seconds after which the queue is looked at even if nothing is due, because the system's clock may have been set."""


def _new_id(now: float) -> MessageId:
    return message_id(now, secrets.token_bytes(ENTROPY))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What dispatch takes from the world; tests give another one."""

    clock: Callable[[], float] = time.time
    """Seconds since the epoch."""
    ticks: Callable[[], float] = time.monotonic
    """Seconds of a clock that does not go back, whatever is set."""
    jitter: Callable[[], float] = random.random
    """A random number in [0, 1) for each settlement."""
    chance: Callable[[], float] = random.random
    """A random number in [0, 1), wherever next hops are chosen by chance."""
    new_id: Callable[[float], MessageId] = _new_id
    resolver: Resolver = field(default_factory=Resolver)
    trust: Trust = field(default_factory=Trust)
    tokens: Tokens = field(default_factory=Tokens)
    timeouts: Timeouts = field(default_factory=Timeouts)
    reachability: Reachability = field(default_factory=Reachability)
    bounds: Bounds = field(default_factory=Bounds)
    mx_port: int = SMTP_PORT
    share: Callable[[Config], Share] = lambda _: WHOLE
    """What of the routes' pace is this pod's."""
    unwritten_pause: float = 5.0
    """Seconds before a result that the spool could not write is offered again."""


class Dispatch:
    """The conductor behind the spool."""

    def __init__(self, spool: Spool, config: Config, observer: Observer, surroundings: Surroundings | None = None) -> None:
        """Deliver what *spool* holds as *config* says; nothing happens before `run`."""
        self._spool = spool
        self._observer = observer
        self._world = surroundings or Surroundings()
        chance = Chance(self._world.clock, self._world.ticks, self._world.jitter)
        self._faring = Faring(config, self._world.share(config), observer, chance)
        self.pacing = self._faring.pacing
        self._window = Window(self._world.bounds, self._destinations, self._faring.circuits.ceiling, self.pacing)
        self._in_hand = InHand(IN_HAND)
        self._attempts: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._due_at = 0.0
        """When the first entry falls due that did not when the queue was last read."""
        self._stopping = False
        self._delays = Delays(Hands(spool, self._window, self._write_down, self._put_back, observer), self._world.clock, self._world.ticks)
        self._configure(config)

    def _configure(self, config: Config) -> None:
        self._config, self._table = config, Table.of(config)
        self._bouncing = Bouncing(config, self._world.new_id)
        self._delays.configure(config, self._bouncing)
        self._client, self._mx_terms, self._outgoing = self._client_of(config), self._mx_terms_of(config), Outgoing.of(config)

    def _client_of(self, config: Config) -> Client:
        settings = Settings(config.hostname, self._world.trust, self._world.timeouts, tokens=self._world.tokens)
        return Client(self._world.resolver.only(config.ip_families), settings, self._world.reachability)

    def _mx_terms_of(self, config: Config) -> MxTerms:
        resolver = self._world.resolver.only(config.ip_families)
        return MxTerms(resolver, config.hostname, self._world.mx_port, self._world.chance)

    def reconfigure(self, config: Config) -> None:
        """Use *config* from the next attempt on; those under way end as they began."""
        self._client.close()
        self._configure(config)
        self._faring.reconfigure(config, self._world.share(config))
        self._window.reroute()
        self.wake()

    def wake(self) -> None:
        """Look at the queue now: a message has entered it."""
        self._window.caught_up = False
        self._woken.set()

    def welcomes(self, identity: str) -> bool:
        """Tell whether a new message of *identity* can be taken straight from intake."""
        return not self._stopping and self._window.welcomes(identity)

    def take(self, entry: Entry, body: bytes) -> None:
        """Deliver *entry*, which is durable and leased; *body* need not be read again if it is still in hand by then."""
        if self._stopping:
            self._spool.release(entry.id)
            return
        if self._window.admit(entry, self._world.ticks()):
            self._begin(self._occupying(entry, body))
            return
        self._in_hand.keep(entry.id, body)
        if not self._window.appetite or self._window.paced:
            self._woken.set()  # the window is full: what stands in the way may have to go back; or its pace lets it go

    def withdraw(self, message_id: MessageId) -> bool:
        """Give a message that waits for its turn back to the spool; False when none of that name waits, as when it is being delivered."""
        if not self._window.withdraw(message_id):
            return False
        self._in_hand.drop(message_id)
        self._spool.release(message_id)
        self._window.caught_up = False
        return True

    def delivering(self, message_id: MessageId) -> bool:
        """Tell whether an attempt of a message is under way."""
        return self._window.running(message_id)

    def on_time(self, message_id: MessageId) -> bool:
        """Tell whether a message is not late although it is due: an attempt is under way, or its pace does not let it go yet."""
        return self._window.running(message_id) or message_id in self._window.paced or message_id in self._delays

    def paces(self) -> Mapping[str, Standing]:
        """Return how the routes stand with their pace, by name, where there is anything to say."""
        return self.pacing.standing(self._window.paced, self._world.ticks())

    def revive(self, entry: Entry) -> None:
        """Try the destinations of *entry* again, should they rest."""
        for destination in self._destinations(entry):
            self._faring.circuits.revive(destination)

    def retry_refused(self) -> None:
        """Offer next hops again the credentials that they refused."""
        self._client.retry_refused()

    def flush(self) -> None:
        """Try all destinations again, in the order of the configuration."""
        self._faring.circuits.forget()
        self._client.retry_refused()
        self._world.reachability.forget()
        self.wake()

    def tell_misses(self, doubt: Callable[[str], object]) -> None:
        """Call *doubt* with the name of a route whenever an attempt over it ends without a session."""
        self._faring.doubt = doubt

    async def run(self) -> None:
        """Deliver until `stop` is called."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            self._woken.clear()
            again = loop.call_later(self._look(), self._woken.set)
            await self._woken.wait()
            again.cancel()

    async def stop(self, grace: float) -> None:
        """Lease no more, let what is under way finish within *grace* seconds, and release the rest."""
        self._stopping = True
        self._delays.stop()
        self.wake()
        for entry in self._window.empty():
            self._in_hand.drop(entry.id)
            self._spool.release(entry.id)
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=grace)
            while late:  # once more where the spool does not take what they have come to
                for attempt in late:
                    attempt.cancel()
                _, late = await asyncio.wait(late, timeout=LAST_WORDS)
        self._client.close()

    def _look(self) -> float:
        """Begin what is due, and return the seconds until there is something to look for again."""
        try:
            self._lease()
            self.pacing.recover(self._world.ticks())
            self._begin_waiting()
            for entry in self._window.crowded_out(self._world.ticks()):
                self._begin(self._delays.put_back(entry))
            if (telling := self._delays.next()) is not None:
                self._begin(telling)
        except Exception:  # noqa: BLE001 the loop must not end; the cause is in the log
            _log.exception("queue unreadable")
            return LOOK_AGAIN
        if self._window.appetite and not self._window.caught_up:
            return 0.0
        due = max(self._due_at - self._world.clock(), 0.0) if self._window.appetite else FULL_AGAIN
        opens = max(self._window.paced.opens_at - self._world.ticks(), 0.0) if self._window.paced else LOOK_AGAIN
        return min(due, opens, LOOK_AGAIN)

    def _lease(self) -> None:
        """Lease as many as the window has room for, a few at a time, unless everything that is due waits in it already."""
        if not self._wants_more:
            return
        now, appetite = self._world.clock(), min(self._window.appetite, STRIDE)
        entries = self._spool.lease(now, appetite)
        self._window.caught_up = len(entries) < appetite
        for entry in entries:
            self._window.add(entry)
        due = self._spool.next_due(now)
        self._due_at = math.inf if due is None else due

    @property
    def _wants_more(self) -> bool:
        return bool(self._window.appetite) and not (self._window.caught_up and self._world.clock() < self._due_at)

    def _begin_waiting(self) -> None:
        """Begin those that may begin."""
        for entry in self._window.start(self._world.ticks()):
            self._begin(self._occupying(entry, self._in_hand.drop(entry.id)))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)

    def _go_on(self) -> None:
        """Use a place that has become free. Raises nothing: a result is about to be written down."""
        if self._stopping:
            return
        try:
            self._begin_waiting()
        except Exception:  # noqa: BLE001 the loop looks again, and the cause is in the log
            _log.exception("queue unreadable")
        if self._wants_more or self._window.paced:
            self._woken.set()

    async def _occupying(self, entry: Entry, body: bytes | None) -> None:
        """Attempt *entry* and make its place free, whatever happens."""
        try:
            await self._attempt(entry, body)
        except Exception:  # noqa: BLE001 no fault of one message ends the others; it comes back later, and the cause is in the log
            _log.exception("attempt failed", message_id=entry.id)
            with suppress(ValueError):  # not leased any more: the result had been written
                await self._put_back(entry)
        finally:
            self._window.finish(entry.id, self._world.ticks())
            self._go_on()

    async def _attempt(self, entry: Entry, in_hand: bytes | None) -> None:
        """Try once to deliver what is still owed, and write down the result."""
        config, outgoing, tried = self._config, self._outgoing, schedule.due_now(entry, self._world.clock())
        owed, outcomes = self._batches(tried), dict[str, Outcome]()
        body: Body = in_hand or b""
        try:
            body = in_hand or await self._spool.body(entry.id)
            await self._deliver(Leaving(entry, body, outgoing, outcomes), owed)
        except asyncio.CancelledError:
            if not outcomes:
                self._spool.release(entry.id)
                raise
            owed = answered(owed, outcomes)
        except Exception as fault:
            if not outcomes and not isinstance(fault, DamagedBodyError):
                raise
            accounting.tell_broken_off(entry, fault, self._world.clock())
            owed = answered(owed, outcomes)
        # The next one need not wait until this one's result is written down.
        self._window.answered(entry.id, self._world.ticks())
        self._go_on()
        terms = schedule.Terms(config.lifetime, {address: batch.route.retry for batch in owed for address in batch.recipients})
        decision = schedule.settle(entry, outcomes, terms, self._world.clock(), self._world.jitter())
        told = self._bouncing.told(entry, body, decision, terms, self._world.clock())
        await self._write_down(told.settlement)
        settled = accounting.Settled(tried, owed, told.outcomes or decision.outcomes, told.notice)
        accounting.tell(settled, self._observer, self._world.clock())
        bouncing.tell(told, entry, self._observer)

    async def _deliver(self, leaving: Leaving, owed: tuple[Batch, ...]) -> None:
        """Hand a message to the next hops of each batch, a few batches at a time."""
        if len(owed) == 1:  # nearly always, and then a task and a place of its own would cost more than they are worth
            await self._deliver_batch(leaving, owed[0])
            return
        places = asyncio.Semaphore(BATCHES)

        async def one(batch: Batch) -> None:
            async with places:
                await self._deliver_batch(leaving, batch)

        # All are waited for, whatever one of them comes to: none may go on behind the settlement.
        for fault in await asyncio.gather(*(one(batch) for batch in owed), return_exceptions=True):
            if fault is not None:
                raise fault

    async def _deliver_batch(self, leaving: Leaving, batch: Batch) -> None:
        """Deliver to *batch*'s recipients, unless their destination rests. What nobody foresaw defers them and no others."""
        if resting := self._faring.resting(leaving.entry.id, batch):
            leaving.outcomes.update(dict.fromkeys(batch.recipients, resting))
            return
        began = self._world.ticks()
        outcomes = await self._hand_over(leaving, batch)
        leaving.outcomes.update(outcomes)
        self._faring.note(leaving.entry.id, batch, outcomes, began)

    async def _hand_over(self, leaving: Leaving, batch: Batch) -> Mapping[str, Outcome]:
        entry, started = leaving.entry, self._world.ticks()
        envelope = Envelope(entry.sender, batch.recipients, entry.smtputf8, entry.body_8bit, entry.dsn, entry.requiretls)
        try:
            hops = await next_hops(batch.way, self._mx_terms, strict=envelope.demands_tls)
            if isinstance(hops, tuple):
                mail = Mail(envelope, leaving.body)
                if leaving.outgoing is not None:
                    mail = await leaving.outgoing.mail(mail, entry, batch.route)
                return await self._client.deliver(mail, hops, leaving.outcomes)
        except DamagedBodyError:
            raise
        except Exception:  # noqa: BLE001 unknown means temporary, and the cause is in the log
            _log.exception("delivery failed", message_id=entry.id, route=batch.route.name)
            return {address: leaving.outcomes.get(address, UNEXPECTED) for address in batch.recipients}
        finally:
            self._observer.attempted(batch.route.name, self._world.ticks() - started, again=accounting.again(entry, batch))
        return dict.fromkeys(batch.recipients, hops)

    async def _write_down(self, settlement: Settlement) -> None:
        """Settle; as long as the spool cannot write, keep the result and offer it again."""
        while True:
            try:
                await self._spool.settle(settlement)
            except SpoolUnavailableError as fault:
                _log.error("result not written", message_id=settlement.id, reason=str(fault))
                await asyncio.sleep(self._world.unwritten_pause)
            else:
                break
        if settlement.notice is not None:
            self._window.caught_up = False
        if settlement.remaining or settlement.notice is not None:
            self._due_at = min(self._due_at, settlement.next_attempt) if settlement.remaining else self._due_at
            self._woken.set()

    async def _put_back(self, entry: Entry) -> None:
        """End the lease of *entry* without an attempt."""
        self._in_hand.drop(entry.id)
        retry = min((batch.route.retry for batch in self._batches(entry)), key=lambda retry: retry.initial)
        await self._write_down(schedule.postpone(entry, retry, self._world.clock(), self._world.jitter()))

    def _batches(self, entry: Entry) -> tuple[Batch, ...]:
        return self._table.batches((recipient.address for recipient in entry.recipients), entry)

    def _destinations(self, entry: Entry) -> frozenset[str]:
        return self._table.destinations((recipient.address for recipient in entry.recipients), entry)
