"""All smarthosts of the routes, each probed by a task of its own: never twice at a time, often while it fails, seldom while it is well.

Mail that does not reach its route's smarthosts is a reason to look at once (`Upstreams.doubt`), so that what is told does not lag behind.

A smarthost that several routes name is probed once. What was found stays known while a configuration names it the same way; a new or
changed one is probed at once. A fault that nobody foresaw is logged, and the probes go on.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.config.report import Cause, UpstreamReport
from smtp_gateway.delivery.refusals import rest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from smtp_gateway.config.model import Config, Smarthost
    from smtp_gateway.probing.probe import Finding

WELL = 60.0
"""Seconds between two probes of a smarthost that is well: a connection a minute from each pod is what a load balancer's check costs."""
FAILED = 15.0
"""Seconds until the next probe after one that failed, so that a repair is seen within the minute."""
SETTLED = 5.0
"""Seconds for which a probe that came through is believed whatever mail meets: a smarthost that takes every other connection is not to be
probed all the time."""
JITTER = 0.2
"""The largest part by which a wait is shortened at random: pods that start together do not go on together."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sources:
    """Where time and chance come from."""

    clock: Callable[[], float] = time.time
    """Seconds since the epoch."""
    chance: Callable[[], float] = random.random
    """A random number in [0, 1)."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one smarthost."""

    finding: Finding | None = None
    """What the last probe found; None before the first."""
    checked_at: float | None = None
    """When it ended, in seconds since the epoch."""
    reached_at: float | None = None
    """When a probe last came through."""
    refusals: int = 0
    """How many probes in a row our credentials were refused to."""

    @property
    def reachable(self) -> bool | None:
        """Whether the last probe came through; None before the first."""
        return None if self.finding is None else self.finding.cause is None

    @property
    def gone(self) -> bool:
        """Whether the last probe came to nothing that its host has said: a refusal may be about what it was sent, and then haste is wrong."""
        return self.finding is not None and self.finding.cause not in {None, Cause.REJECTED}

    def doubtful(self, now: float) -> bool:
        """Tell whether mail that did not get through at *now* is a reason for another probe: the last one came through, a while ago."""
        return bool(self.reachable) and now - (self.checked_at or 0.0) >= SETTLED

    def after(self, finding: Finding, now: float) -> Standing:
        """Return what is known after a probe that ended at *now*."""
        refusals = self.refusals + 1 if finding.cause is Cause.AUTHENTICATION_REJECTED else 0
        return Standing(finding, now, now if finding.cause is None else self.reached_at, refusals)


UNKNOWN = Standing()


def pause(standing: Standing, chance: float) -> float:
    """Return the seconds until the next probe; *chance* is a random number in [0, 1).

    Each probe that credentials are refused to is a failed login, so those come as seldom as deliveries offer them.
    """
    failed = rest(standing.refusals) if standing.refusals else FAILED
    return (WELL if standing.reachable else failed) * (1 - JITTER * chance)


@dataclass(frozen=True, slots=True)
class Upstream:
    """One smarthost of one route, and what is known of it."""

    route: str
    smarthost: Smarthost
    standing: Standing

    @property
    def report(self) -> UpstreamReport:
        """Return it as the operator is told."""
        finding = self.standing.finding
        return UpstreamReport(
            route=self.route,
            host=self.smarthost.host,
            port=self.smarthost.port,
            credentials=self.smarthost.identity,
            reachable=self.standing.reachable,
            cause=finding.cause or "" if finding else "",
            reply=finding.reply if finding else "",
            alternate_port=finding.port if finding else None,
            checked_at=self.standing.checked_at,
        )


class Upstreams:
    """The smarthosts of one gateway."""

    def __init__(
        self,
        config: Config,
        probe: Callable[[Smarthost], Awaitable[Finding]],
        restored: Callable[[str], None],
        sources: Sources | None = None,
    ) -> None:
        """Probe the smarthosts of *config* by *probe*; nothing happens before `run`.

        *restored* is told the name of a route none of whose smarthosts could be reached, or whose smarthosts have changed, when one can be.
        """
        self._config = config
        self._probe = probe
        self._restored = restored
        self._sources = sources or Sources()
        self._standings: dict[Smarthost, Standing] = {}
        self._cut_off: set[str] = set()
        """Names of routes that have no smarthost that could be reached, and one at least that did not even refuse; and of those with others
        than before, for what mail came to with the old ones says nothing any more."""
        self._changed = asyncio.Event()
        self._doubts: dict[Smarthost, asyncio.Event] = {}
        """Ends the pause of each smarthost that is not being probed."""

    def doubt(self, route: str) -> None:
        """Probe now what was well of *route*: an attempt has just ended without a session."""
        now = self._sources.clock()
        for one in self:
            if one.route == route and one.standing.doubtful(now) and one.smarthost in self._doubts:
                self._doubts[one.smarthost].set()

    def reconfigure(self, config: Config, probe: Callable[[Smarthost], Awaitable[Finding]]) -> None:
        """Probe those of *config* from now on, and by *probe*."""
        before = {route.name: route.smarthosts for route in self._config.routes}
        changed = {
            route.name for route in config.routes if route.smarthosts and route.smarthosts != before.get(route.name, route.smarthosts)
        }
        self._config, self._probe = config, probe
        self._cut_off = (self._cut_off & {route.name for route in config.routes}) | changed
        self._changed.set()

    def __iter__(self) -> Iterator[Upstream]:
        """Yield each smarthost of each route, in the order of the configuration."""
        for route in self._config.routes:
            for smarthost in route.smarthosts:
                yield Upstream(route.name, smarthost, self._standings.get(smarthost, UNKNOWN))

    async def run(self) -> None:
        """Probe until cancelled."""
        async with asyncio.TaskGroup() as group:
            watches: dict[Smarthost, asyncio.Task[None]] = {}
            while True:
                self._changed.clear()
                named = dict.fromkeys(one.smarthost for one in self)
                for smarthost in [one for one in watches if one not in named]:
                    watches.pop(smarthost).cancel()
                    self._standings.pop(smarthost, None)
                for smarthost in named:
                    if smarthost not in watches:
                        watches[smarthost] = group.create_task(self._watch(smarthost))
                await self._changed.wait()

    async def _watch(self, smarthost: Smarthost) -> None:
        while True:
            try:
                finding = await self._probe(smarthost)
            except Exception:  # noqa: BLE001 one smarthost must not end the probes of the others; the cause is in the log
                _log.exception("probe failed", host=smarthost.host, port=smarthost.port)
            else:
                self._note(smarthost, finding)
            await self._pause(smarthost)

    async def _pause(self, smarthost: Smarthost) -> None:
        """Wait until the next probe is due, or there is doubt."""
        doubted = self._doubts[smarthost] = asyncio.Event()
        due = self._sources.sleep(pause(self._standings.get(smarthost, UNKNOWN), self._sources.chance()))
        waits = [asyncio.ensure_future(due), asyncio.ensure_future(doubted.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._doubts[smarthost]
            for each in waits:
                each.cancel()

    def _note(self, smarthost: Smarthost, finding: Finding) -> None:
        """Keep what was found, and log it when it is another than before."""
        before = self._standings.get(smarthost, UNKNOWN)
        self._standings[smarthost] = before.after(finding, self._sources.clock())
        known = before.finding
        about = {"host": smarthost.host, "port": smarthost.port, "reply": finding.reply}
        if finding.cause is not None and (known is None or known.cause is not finding.cause):
            _log.warning("upstream unreachable", cause=finding.cause.value, **about)
        elif finding.cause is None and known is not None and known.cause is not None:
            _log.info("upstream reachable", **about)
        elif known is not None and known.port != finding.port:
            _log.info("upstream port", in_use=finding.port or smarthost.port, **about)
        self._judge_routes()

    def _judge_routes(self) -> None:
        """Take note of routes that no smarthost is left for, and tell those that have one again, the same one or another."""
        for route in self._config.routes:
            standings = [self._standings.get(smarthost, UNKNOWN) for smarthost in route.smarthosts]
            if any(one.reachable for one in standings):
                if route.name in self._cut_off:
                    self._cut_off.discard(route.name)
                    self._restored(route.name)
            elif any(one.gone for one in standings):
                self._cut_off.add(route.name)
