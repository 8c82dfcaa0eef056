"""One dispatch at work on a spool, with a clock that stands still and a record of what it observed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from smtp_gateway.config.model import Bounces, Config, HopTls, Listener, Route, Smarthost
from smtp_gateway.delivery.reachability import Reachability
from smtp_gateway.delivery.settings import Timeouts
from smtp_gateway.dispatch import Dispatch, Surroundings
from smtp_gateway.spool.memory import MemorySpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.messages import NOW, new_message, octets
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from smtp_gateway.spool.api import Entry, Spool
    from tests.support.sink import Sink

A, B = "a@x.example", "b@x.example"
LIFETIME = 3600.0
TIMEOUTS = Timeouts(*[5.0] * 10)
AROUND = Surroundings(jitter=lambda: 0.0, timeouts=TIMEOUTS, unwritten_pause=0.01)
"""What most tests need."""


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = NOW

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class Counts(NullObserver):
    """What was observed."""

    seen: list[tuple[str, str, int]] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)
    attempts: int = 0
    retries: int = 0
    identities: set[str] = field(default_factory=set)

    def attempted(self, route: str, seconds: float, *, again: bool) -> None:
        """Count."""
        assert route
        assert seconds >= 0
        self.attempts += 1
        self.retries += again

    def delivered(self, route: str, identity: str, recipients: int, age: float) -> None:
        """Record."""
        assert age >= 0
        self.identities.add(identity)
        self.seen.append(("delivered", route, recipients))

    def deferred(self, route: str, identity: str, recipients: int) -> None:
        """Record."""
        self.identities.add(identity)
        self.seen.append(("deferred", route, recipients))

    def bounced(self, route: str, identity: str, recipients: int) -> None:
        """Record."""
        self.identities.add(identity)
        self.seen.append(("bounced", route, recipients))

    def notified(self, kind: str, fate: str) -> None:
        """Record."""
        self.notices.append((kind, fate))


@dataclass
class World:
    """One dispatch at work, with everything around it."""

    spool: Spool
    dispatch: Dispatch
    clock: Clock
    counts: Counts
    reachability: Reachability

    async def put(self, *recipients: str, sender: str = "me@here.example", body: bytes | None = None) -> str:
        """Queue a message and say so."""
        message = new_message(recipients, sender=sender, accepted_at=self.clock.now)
        message = message if body is None else replace(message, body=body)
        await self.spool.put(message)
        self.dispatch.wake()
        return message.id

    async def settled(self) -> None:
        """Wait until the queue is empty."""
        await eventually(lambda: self.spool.depth().messages == 0, what="empty queue")

    async def deferred(self, attempts: int = 1) -> None:
        """Wait until something waits for its next attempt after *attempts*."""
        await eventually(lambda: self.counts.attempts >= attempts and self.spool.next_due(self.clock.now) is not None, what="deferral")

    def later(self, seconds: float) -> None:
        """Move the clock."""
        self.clock.now += seconds
        self.dispatch.wake()


@asynccontextmanager
async def working(config: Config, spool: Spool | None = None, around: Surroundings | None = None) -> AsyncIterator[World]:
    """Run dispatch over *config*, in the surroundings *around* with a clock that stands still."""
    clock, counts, spool = Clock(), Counts(), spool or MemorySpool()
    around = replace(around or AROUND, clock=clock, reachability=Reachability())
    dispatch = Dispatch(spool, config, counts, around)
    running = asyncio.create_task(dispatch.run())
    try:
        yield World(spool, dispatch, clock, counts, around.reachability)
    finally:
        await dispatch.stop(0)
        await running


async def hand_over(world: World, recipient: str, identity: str) -> Entry:
    """Hand a message over as intake does."""
    message = replace(new_message((recipient,), accepted_at=world.clock.now), identity=identity)
    welcome = world.dispatch.welcomes(identity)
    entry = await world.spool.put(message, leased=welcome)
    if welcome:
        world.dispatch.take(entry, octets(message))
    else:
        world.dispatch.wake()
    return entry


def config(*routes: Route, bounces: Bounces | None = None) -> Config:
    """Return a configuration with *routes*."""
    listeners = (Listener(name="submission", port=587),)
    return Config(hostname="gateway.example", listeners=listeners, routes=routes, lifetime=LIFETIME, bounces=bounces or Bounces())


def over(sink: Sink, name: str = "default", domains: tuple[str, ...] = ()) -> Route:
    """Return a route to *sink*."""
    return Route(name=name, recipient_domains=domains, smarthosts=(Smarthost(host=sink.host, port=sink.port, tls=HopTls.NONE),))
