"""A gateway's life: start, ready, drain, stop, in this order and once.

The drain has a grace, divided so that each wait is bounded: half of it at most for the sessions, which end their transactions, and what
is left, less a reserve for closing, for the deliveries in flight. What does not end in time is cut: nothing acknowledged is lost by it,
because everything acknowledged is in the spool. A second signal ends the process at once, as it would without any of this.
"""

from __future__ import annotations

import asyncio
import os
import signal
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import structlog

from smtp_gateway.usage import GRACE

if TYPE_CHECKING:
    from collections.abc import Iterator

RESERVE = 1.0
"""Seconds of the grace for closing the spool."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger()


class Phase(StrEnum):
    """Where in its life a gateway is."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


class Stages(Protocol):
    """What a drain drains."""

    def stop_accepting(self) -> None:
        """Take no new connections."""

    async def finish_sessions(self, within: float) -> int:
        """Let sessions end within *within* seconds; return how many had to be cut."""

    async def stop_delivery(self, within: float) -> None:
        """Let deliveries in flight end, or release them, within *within* seconds."""


class Lifecycle:
    """One life."""

    def __init__(self, grace: float = GRACE) -> None:
        """Drain within *grace* seconds."""
        self._grace = grace
        self._told = asyncio.Event()
        self._ready = asyncio.Event()
        self.phase = Phase.STARTING

    def stop(self) -> None:
        """Begin the drain."""
        self._told.set()

    async def ready(self) -> None:
        """Wait until the gateway is ready."""
        await self._ready.wait()

    def follow_signals(self) -> None:
        """Let SIGTERM and SIGINT begin the drain, and the second of them end the process."""
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: signal.Signals) -> None:
        if self._told.is_set():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        _log.info("signal received", signal=number.name)
        self.stop()

    async def serve(self, stages: Stages) -> None:
        """Be ready until told to stop, then drain *stages*."""
        self.phase = Phase.READY
        self._ready.set()
        _log.info("ready")
        await self._told.wait()
        self.phase = Phase.DRAINING
        _log.info("draining", grace=self._grace)
        remaining = self._remaining()
        stages.stop_accepting()
        cut = await stages.finish_sessions(next(remaining) / 2)
        _log.info("sessions ended", cut=cut)
        await stages.stop_delivery(next(remaining))
        _log.info("delivery stopped")

    def _remaining(self) -> Iterator[float]:
        deadline = asyncio.get_running_loop().time() + self._grace - RESERVE
        while True:
            yield max(0.0, deadline - asyncio.get_running_loop().time())
