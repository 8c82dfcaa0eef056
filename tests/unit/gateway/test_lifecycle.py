from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from smtp_gateway.lifecycle import RESERVE, Lifecycle, Phase

if TYPE_CHECKING:
    import pytest


class Steps:
    """Stages that write down their order and the time they were given."""

    def __init__(self, life: Lifecycle) -> None:
        """Belong to *life*."""
        self._life = life
        self.taken: list[tuple[str, Phase]] = []
        self.given: list[float] = []

    def stop_accepting(self) -> None:
        """Write down."""
        self.taken.append(("stop accepting", self._life.phase))

    async def finish_sessions(self, within: float) -> int:
        """Write down."""
        self.taken.append(("finish sessions", self._life.phase))
        self.given.append(within)
        return 0

    async def stop_delivery(self, within: float) -> None:
        """Write down."""
        self.taken.append(("stop delivery", self._life.phase))
        self.given.append(within)


async def test_a_life_is_ready_until_told_and_then_drains_in_order() -> None:
    """Nothing is drained before, and everything once after."""
    life = Lifecycle(grace=21.0)
    steps = Steps(life)
    assert life.phase is Phase.STARTING

    serving = asyncio.create_task(life.serve(steps))
    await life.ready()
    assert (life.phase, steps.taken) == (Phase.READY, [])

    life.stop()
    await serving
    assert steps.taken == [(step, Phase.DRAINING) for step in ("stop accepting", "finish sessions", "stop delivery")]


async def test_every_wait_fits_into_the_grace() -> None:
    """Sessions get half at most, deliveries what is left, and closing its reserve."""
    life = Lifecycle(grace=21.0)
    steps = Steps(life)
    life.stop()
    await life.serve(steps)

    sessions, deliveries = steps.given
    assert sessions <= (21.0 - RESERVE) / 2
    assert sessions < deliveries <= 21.0 - RESERVE


async def test_no_grace_means_no_waiting() -> None:
    """Times are never negative."""
    life = Lifecycle(grace=0.0)
    steps = Steps(life)
    life.stop()
    await life.serve(steps)

    assert steps.given == [0.0, 0.0]


async def test_the_second_signal_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first begins the drain; the second does what it would do without us."""
    killed: list[int] = []
    restored: list[tuple[int, object]] = []
    monkeypatch.setattr("smtp_gateway.lifecycle.os.kill", lambda _pid, number: killed.append(number))
    monkeypatch.setattr("smtp_gateway.lifecycle.signal.signal", lambda number, action: restored.append((number, action)))
    life = Lifecycle()
    handlers: dict[int, tuple[object, ...]] = {}
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_signal_handler", lambda number, *call: handlers.update({number: call}))
    life.follow_signals()
    assert set(handlers) == {signal.SIGTERM, signal.SIGINT}

    handle, argument = handlers[signal.SIGTERM]
    assert callable(handle)
    handle(argument)
    assert not killed
    handle(argument)
    assert killed == [signal.SIGTERM]
    assert restored == [(signal.SIGTERM, signal.SIG_DFL)]
