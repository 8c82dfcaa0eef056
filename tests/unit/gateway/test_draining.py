"""Draining as desired state: which pod drains, and what it does about it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.draining import Drain, drains, share_of
from smtp_gateway.rates.sharing import WHOLE, Share
from tests.support.gateway import config
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.mark.parametrize(
    ("pod", "serving", "expected"),
    [
        ("mail-0", None, False),
        ("mail-7", None, False),
        ("mail-0", 1, False),
        ("mail-1", 1, True),
        ("mail-2", 1, True),
        ("mail-0", 0, True),
        ("mail-10", 9, True),
        ("mail-9", 10, False),
        ("eu-2-mail-0", 1, False),
        ("", 0, False),
        ("laptop", 0, False),
        ("mail-", 0, False),
    ],
)
def test_the_pods_beyond_those_that_serve_drain(pod: str, serving: int | None, expected: bool) -> None:  # noqa: FBT001 a table's column
    """By the ordinal at the end of the name; without one, or without a number of pods that serve, nobody does."""
    assert drains(pod, serving) is expected


@pytest.mark.parametrize(("pod", "share"), [("mail-0", Share(3, 0)), ("eu-2-mail-2", Share(3, 2)), ("laptop", WHOLE), ("", WHOLE)])
def test_a_pods_part_of_a_pace_is_its_ordinals(pod: str, share: Share) -> None:
    """Of as many pods as the configuration says; who is no member of a fleet has all of it."""
    assert share_of(pod, config().model_copy(update={"pods": 3})) == share


class RecordingDoors:
    """Doors whose sessions last until the test ends them."""

    def __init__(self) -> None:
        """Begin open, with a session."""
        self.open = True
        self.asked: list[str] = []
        self.sessions = asyncio.Event()
        self.fault: Exception | None = None

    def stop_accepting(self) -> None:
        """Close."""
        self.open = False
        self.asked.append("stop accepting")

    async def listen(self) -> None:
        """Open."""
        if self.fault is not None:
            raise self.fault
        self.open = True
        self.asked.append("listen")

    async def finish_sessions(self, within: float) -> int:
        """Wait for the session."""
        self.asked.append(f"finish within {within:g} s")
        await self.sessions.wait()
        return 1


@contextlib.asynccontextmanager
async def running(doors: RecordingDoors) -> AsyncIterator[Drain]:
    """Run a drain of the pod mail-1."""
    drain = Drain(doors, "mail-1", 300.0)
    task = asyncio.create_task(drain.run())
    yield drain
    drain.end()
    await asyncio.wait_for(task, 5.0)


async def test_a_drain_closes_the_doors_and_is_cancelled() -> None:
    """While sessions are still under way, too; what is already so is not done again."""
    doors = RecordingDoors()
    with capture_logs() as logs:
        async with running(doors) as drain:
            drain.reconfigure(2)
            drain.reconfigure(1)
            await eventually(lambda: len(doors.asked) == 2)
            drain.reconfigure(0)
            drain.reconfigure(None)
            await eventually(lambda: doors.open)

    assert doors.asked == ["stop accepting", "finish within 300 s", "listen"]
    assert [line["event"] for line in logs] == ["drain asked for", "drain cancelled"]


async def test_a_pod_that_starts_as_one_that_drains_opens_nothing() -> None:
    """It says goodbye to whoever got in, and tells how many had to be cut."""
    doors = RecordingDoors()
    doors.open = False
    doors.sessions.set()
    with capture_logs() as logs:
        async with running(doors) as drain:
            drain.reconfigure(1)
            await eventually(lambda: logs)

    assert doors.asked == ["finish within 300 s"]
    assert [(line["event"], line["sessions"]) for line in logs] == [("sessions cut by the drain", 1)]


async def test_at_the_end_of_the_process_nothing_is_opened_again() -> None:
    """A configuration that comes while it stops does not make it listen."""
    doors = RecordingDoors()
    async with running(doors) as drain:
        drain.reconfigure(1)
        await eventually(lambda: len(doors.asked) == 2)
        drain.end()
        drain.reconfigure(None)

    assert not doors.open


async def test_a_port_that_cannot_be_bound_again_is_an_error() -> None:
    """It ends the process, which is then started again."""
    doors = RecordingDoors()
    doors.fault = OSError("in use")
    drain = Drain(doors, "mail-1", 300.0)
    task = asyncio.create_task(drain.run())
    drain.reconfigure(1)
    await eventually(lambda: doors.asked)
    drain.reconfigure(None)

    with pytest.raises(ExceptionGroup) as ended:
        await asyncio.wait_for(task, 5.0)
    assert ended.group_contains(OSError, match="in use")
