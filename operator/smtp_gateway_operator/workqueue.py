"""The work queue: which gateways are to be reconciled, when, and by whom.

What it promises: a key that was added is worked on after that moment, at least once; the same key never by two workers at a time; a
key that is waiting is not queued twice; a failure is tried again after a growing, jittered wait. Watches lose events and forget
failures, so this queue and the resync own both. Work says itself when it wants to look at its key again although nothing happened.

What can go wrong: work that hangs is cancelled after `Pace.limit` and tried again like any failure; `stuck` tells a liveness probe
when even that did not help.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from smtp_gateway_operator.names import Key

    Work = Callable[[Key, "Occasion"], Awaitable[float | None]]
    """Works on one key. Returns the seconds until it wants to look again, None for not before something happens. An exception means
    that it failed and is to be tried again; `PutOffError`, that it has said why."""
    ListKeys = Callable[[], Awaitable[Iterable[Key]]]


class Occasion(Enum):
    """Why a key is worked on."""

    NEWS = "news"
    """Something happened, or may have: an event, a resync, a failure before."""
    LOOK = "look"
    """Nothing happened; the work itself wanted to look again."""


class PutOffError(Exception):
    """Work that failed, has told why, and is to be tried again later."""

    def __init__(self, seconds: float = 0.0) -> None:
        """Ask for *seconds* at least before the next attempt, whatever the usual wait is."""
        super().__init__(seconds)
        self.seconds = seconds


class AwaitedError(PutOffError):
    """Work that did what it could, has told what it waits for, which is somebody else's to bring, and is to be tried again later."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard the queue works; times in seconds."""

    workers: int = 32
    """Gateways worked on at a time. Most of it is waiting for pods, and a pod that hangs takes three seconds of it: 200 gateways of
    such pods are still looked at within twenty. How many at a time keep the API server busy is the reconciler's to limit."""
    first_wait: float = 0.5
    """Before the second attempt; doubled with each further one."""
    longest_wait: float = 30.0
    """Somebody who has just created a missing Secret looks at the result for about that long."""
    limit: float = 60.0
    """For one piece of work, above the sum of what a slow API server may take."""
    resync: float = 300.0
    """Between two rounds over every gateway, for whatever a watch did not tell."""


class Timer(Protocol):
    """What the queue needs of an event loop to wait; tests have one of their own."""

    def time(self) -> float:
        """Return seconds on a clock that never jumps."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> asyncio.TimerHandle:
        """Call *callback* after *delay* seconds unless the handle is cancelled."""


@dataclass(frozen=True, slots=True)
class _Following:
    """How it goes on after a piece of work."""

    seconds: float | None
    """Until the next look, None for no look; after a failure, what the next attempt waits at least."""
    failed: bool = False


class WorkQueue:
    """Keys, workers, and when to try again."""

    def __init__(self, work: Work, pace: Pace, timer: Timer | None = None, chance: Callable[[], float] = random.random) -> None:
        """Let *work* be done on each key. Call within a running event loop."""
        self._work = work
        self._pace = pace
        self._timer = timer or asyncio.get_running_loop()
        self._chance = chance
        self._ready: asyncio.Queue[Key | None] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._running: dict[Key, float] = {}
        self._again: set[Key] = set()
        self._news: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._stopping = asyncio.Event()
        self._log = structlog.get_logger()
        self.retries = 0
        """How often work was put off for another attempt."""

    @property
    def depth(self) -> int:
        """How many keys wait for a worker."""
        return len(self._waiting) + len(self._again)

    def add(self, key: Key) -> None:
        """Have *key* worked on soon, because something happened, even if it was put off after a failure."""
        self._news.add(key)
        self._add(key)

    def _add(self, key: Key) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    async def run(self, list_keys: ListKeys) -> None:
        """Work until `stop`, with a round over the keys of *list_keys* at every resync."""
        resync = asyncio.create_task(self._resync(list_keys))
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._pace.workers):
                    workers.create_task(self._worker())
        finally:
            resync.cancel()
            for timer in self._timers.values():
                timer.cancel()

    def stop(self) -> None:
        """Finish what is being worked on and begin nothing more."""
        self._stopping.set()
        for _ in range(self._pace.workers):
            self._ready.put_nowait(None)

    def stuck(self) -> Key | None:
        """Return a key that a worker has been busy with for thrice the limit; None when there is none."""
        now = self._timer.time()
        return next((key for key, since in self._running.items() if now - since > 3 * self._pace.limit), None)

    async def _worker(self) -> None:
        while not self._stopping.is_set():
            key = await self._ready.get()
            if key is None:
                return
            self._waiting.discard(key)
            self._running[key] = self._timer.time()
            occasion = Occasion.NEWS if key in self._news else Occasion.LOOK
            self._news.discard(key)
            try:
                following = await self._attempt(key, occasion)
            finally:
                del self._running[key]
            self._settle(key, following)

    async def _attempt(self, key: Key, occasion: Occasion) -> _Following:
        """Do the work and tell how it goes on. No exception leaves."""
        try:
            async with asyncio.timeout(self._pace.limit):
                return _Following(await self._work(key, occasion))
        except PutOffError as error:
            return _Following(error.seconds, failed=True)
        except Exception:  # noqa: BLE001 a worker outlives whatever one gateway does to it
            self._log.exception("reconcile failed", gateway=str(key))
            return _Following(0.0, failed=True)

    def _settle(self, key: Key, following: _Following) -> None:
        if following.failed:
            self._news.add(key)
        else:
            self._failures.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self._add(key)
        elif following.failed:
            self._put_off(key, following.seconds or 0.0)
        elif following.seconds is not None:
            self._later(key, shortened(following.seconds, self._chance()))

    def _put_off(self, key: Key, at_least: float) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.retries += 1
        self._later(key, max(at_least, wait(failures, self._pace, self._chance())))

    def _later(self, key: Key, seconds: float) -> None:
        self._timers[key] = self._timer.call_later(seconds, lambda: self._due(key))

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self._add(key)

    async def _resync(self, list_keys: ListKeys) -> None:
        while True:
            due = asyncio.Event()
            timer = self._timer.call_later(self._pace.resync, due.set)
            try:
                await due.wait()
            finally:
                timer.cancel()
            await self._round(list_keys)

    async def _round(self, list_keys: ListKeys) -> None:
        try:
            for key in await list_keys():
                self.add(key)
        except Exception as error:  # noqa: BLE001 the next round comes in any case, and watches work meanwhile
            self._log.warning("resync failed", error=f"{type(error).__name__}: {error}")


def wait(failures: int, pace: Pace, chance: float) -> float:
    """Return the seconds before the next attempt after *failures* in a row; *chance* between 0 and 1 shortens it by up to a quarter."""
    doubled = pace.first_wait * 2.0 ** min(failures - 1, 30)
    return shortened(min(doubled, pace.longest_wait), chance)


def shortened(seconds: float, chance: float) -> float:
    """Return *seconds* less up to a quarter by *chance* between 0 and 1, so that gateways do not march in step."""
    return seconds * (1 - chance / 4)
