"""The work queue on a clock of its own: who is worked on, when, and never twice at a time."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import TYPE_CHECKING

import pytest

from smtp_gateway_operator.names import Key
from smtp_gateway_operator.workqueue import Pace, PutOffError, WorkQueue, wait
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

A, B = Key("apps", "a"), Key("apps", "b")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._now = 0.0
        self._numbers = count()
        self._due: list[tuple[float, int, asyncio.TimerHandle]] = []

    def time(self) -> float:
        """Return the time."""
        return self._now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> asyncio.TimerHandle:
        """Remember the callback."""
        handle = asyncio.TimerHandle(self._now + delay, callback, (), asyncio.get_running_loop())
        heapq.heappush(self._due, (handle.when(), next(self._numbers), handle))
        return handle

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass, and call what falls due."""
        self._now += seconds
        while self._due and self._due[0][0] <= self._now:
            handle = heapq.heappop(self._due)[2]
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 what an event loop does with it

    @property
    def waiting(self) -> list[float]:
        """Return the delays that are being waited for, shortest first."""
        return sorted(when - self._now for when, _, handle in self._due if not handle.cancelled())


class Works:
    """Work that is done as the test says."""

    def __init__(self) -> None:
        """Do everything at once, successfully."""
        self.begun: list[Key] = []
        self.ended: list[Key] = []
        self.at_a_time: dict[Key, int] = {}
        self.most_at_a_time = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.outcomes: list[bool | Exception] = []

    async def __call__(self, key: Key) -> bool:
        """Work on *key* as long as the gate is shut, and end with the next outcome."""
        self.begun.append(key)
        self.at_a_time[key] = self.at_a_time.get(key, 0) + 1
        self.most_at_a_time = max(self.most_at_a_time, self.at_a_time[key])
        try:
            await self.gate.wait()
        finally:
            self.at_a_time[key] -= 1
            self.ended.append(key)
        outcome = self.outcomes.pop(0) if self.outcomes else False
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Running:
    """A queue at work."""

    def __init__(self, **pace: float) -> None:
        """Prepare the queue."""
        self.clock = Clock()
        self.works = Works()
        self.keys: list[Key] = []
        self.queue = WorkQueue(self.works, Pace(**{"workers": 2} | pace), self.clock, chance=lambda: 0.0)  # type: ignore[arg-type] # workers is whole
        self.task = asyncio.create_task(self.queue.run(self.list_keys))

    async def list_keys(self) -> list[Key]:
        """Return the keys of a resync; fail when there are none."""
        if not self.keys:
            message = "the API server is away"
            raise ConnectionError(message)
        return self.keys


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A queue at work that is stopped in the end."""
    running = Running()
    yield running
    running.works.gate.set()
    running.queue.stop()
    await running.task


async def test_what_is_added_is_worked_on(running: Running) -> None:
    """Each key gets its turn."""
    running.queue.add(A)
    running.queue.add(B)

    await eventually(lambda: sorted(running.works.ended) == [A, B])


async def test_a_waiting_key_is_not_queued_twice(running: Running) -> None:
    """Ten events before a worker is free are one piece of work."""
    for _ in range(10):
        running.queue.add(A)
    assert running.queue.depth == 1

    await eventually(lambda: running.works.ended)
    assert running.works.begun == [A]


async def test_a_key_is_worked_on_by_one_worker_at_a_time(running: Running) -> None:
    """An event during the work leads to one more piece of work after it, and another key is not held up."""
    running.works.gate.clear()
    running.queue.add(A)
    await eventually(lambda: running.works.begun == [A])

    running.queue.add(A)
    running.queue.add(A)
    running.queue.add(B)
    await eventually(lambda: running.works.begun == [A, B])
    running.works.gate.set()

    await eventually(lambda: running.works.ended.count(A) == 2)
    assert running.works.begun.count(A) == 2
    assert running.works.most_at_a_time == 1


@pytest.mark.parametrize("outcome", [True, OSError("broken")])
async def test_a_failure_is_tried_again_after_growing_waits(running: Running, outcome: bool | Exception) -> None:  # noqa: FBT001 an outcome, not a flag
    """Work that asks for it, or raises, comes again after half a second, then a second, then two; success ends that."""
    running.works.outcomes = [outcome, outcome, outcome]
    running.queue.add(A)

    for attempt, delay in enumerate([0.5, 1.0, 2.0], start=1):
        await eventually(lambda attempt=attempt: running.queue.retries == attempt)  # type: ignore[misc] # a default in a lambda
        assert running.clock.waiting[0] == delay
        running.clock.advance(delay)

    await eventually(lambda: len(running.works.ended) == 4)
    assert running.clock.waiting == [300.0 - 3.5]


async def test_work_that_says_how_long_to_wait_is_waited_for(running: Running) -> None:
    """What the API server asked for counts when it is longer than the usual wait, and nothing is logged about it."""
    running.works.outcomes = [PutOffError(7.0), PutOffError(0.1), False]
    running.queue.add(A)
    await eventually(lambda: running.queue.retries == 1)
    assert running.clock.waiting[0] == 7.0
    running.clock.advance(7.0)

    await eventually(lambda: running.queue.retries == 2)
    assert running.clock.waiting[0] == 1.0  # as after any second failure in a row
    running.clock.advance(1.0)

    await eventually(lambda: len(running.works.ended) == 3)


async def test_success_forgets_the_failures(running: Running) -> None:
    """After a success the first wait is the short one again."""
    running.works.outcomes = [True, False, True]
    running.queue.add(A)
    await eventually(lambda: running.queue.retries == 1)
    running.clock.advance(0.5)
    await eventually(lambda: len(running.works.ended) == 2)

    running.queue.add(A)

    await eventually(lambda: running.queue.retries == 2)
    assert running.clock.waiting[0] == 0.5


async def test_an_event_does_not_wait_for_the_retry(running: Running) -> None:
    """News about a key that was put off is looked at now, and the retry is not run on top."""
    running.works.outcomes = [True]
    running.queue.add(A)
    await eventually(lambda: running.queue.retries == 1)

    running.queue.add(A)
    await eventually(lambda: len(running.works.ended) == 2)
    running.clock.advance(10)

    assert running.clock.waiting == [290.0]
    assert running.works.begun == [A, A]


async def test_everything_is_looked_at_now_and_then(running: Running) -> None:
    """Every five minutes each gateway gets its turn, and a round that fails is not the last."""
    await eventually(lambda: running.clock.waiting == [300.0])
    running.clock.advance(300)
    await eventually(lambda: running.clock.waiting == [300.0])
    running.keys = [A, B]

    running.clock.advance(300)

    await eventually(lambda: sorted(running.works.ended) == [A, B])


async def test_a_hanging_piece_of_work_is_told() -> None:
    """The probe learns of a worker that is busy for thrice the limit, and not earlier."""
    running = Running(limit=60.0)
    running.works.gate.clear()
    running.queue.add(A)
    await eventually(lambda: running.works.begun)

    running.clock.advance(180)
    assert running.queue.stuck() is None
    running.clock.advance(1)
    assert running.queue.stuck() == A

    running.works.gate.set()
    await eventually(lambda: running.queue.stuck() is None)
    running.queue.stop()
    await running.task


async def test_work_that_takes_too_long_is_broken_off_and_tried_again() -> None:
    """Beyond the limit the work is cancelled like any failure."""
    running = Running(limit=0.01)
    running.works.gate.clear()

    running.queue.add(A)

    await eventually(lambda: running.queue.retries == 1)
    assert running.works.ended == [A]
    running.queue.stop()
    await running.task


async def test_stopping_finishes_what_is_begun_and_begins_nothing() -> None:
    """After `stop` the work in hand ends well, keys that wait are left, and no timer is."""
    running = Running(workers=1)
    running.works.gate.clear()
    running.queue.add(A)
    await eventually(lambda: running.works.begun)
    running.queue.add(B)

    running.queue.stop()
    running.works.gate.set()
    await running.task

    assert running.works.ended == [A]
    assert running.clock.waiting == []


@pytest.mark.parametrize(
    ("failures", "chance", "seconds"),
    [
        (1, 0.0, 0.5),
        (2, 0.0, 1.0),
        (6, 0.0, 16.0),
        (7, 0.0, 30.0),  # not 32: capped
        (1000, 0.0, 30.0),  # far beyond where doubling overflows
        (1, 1.0, 0.375),  # chance takes away up to a quarter
        (7, 0.5, 26.25),
    ],
)
def test_the_wait_doubles_up_to_its_longest(failures: int, chance: float, seconds: float) -> None:
    """The curve of waits, as a table."""
    assert wait(failures, Pace(), chance) == seconds
