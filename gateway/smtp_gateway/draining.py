"""Draining as desired state: which pods take no new mail is said by the configuration, and each pod makes it true of itself.

A drain closes the listeners and lets sessions under way finish; deliveries go on as ever, until the queue is empty or for as long as
it takes. A configuration that no longer asks for it ends it: the pod listens again, without a restart. It differs from the drain at the
end of a process (`smtp_gateway.lifecycle`), which has a grace, and after which nothing is begun here any more.

What can go wrong: a port that cannot be bound again ends the process, as it would at the start.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Protocol

import structlog

from smtp_gateway.rates.sharing import WHOLE, Share

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from smtp_gateway.config.model import Config

_ORDINAL = re.compile(r".*-([0-9]+)")
_log = structlog.get_logger()


class Doors(Protocol):
    """How mail comes in."""

    @property
    def open(self) -> bool:
        """Whether connections are taken."""

    def stop_accepting(self) -> None:
        """Take no new connections."""

    def listen(self) -> Awaitable[None]:
        """Take connections."""

    def finish_sessions(self, within: float) -> Awaitable[int]:
        """Let sessions end within *within* seconds; return how many had to be cut."""


def ordinal_of(pod: str) -> int | None:
    """Return the ordinal in a pod's name; None when it has none, and is no member of a fleet."""
    found = _ORDINAL.fullmatch(pod)
    return None if found is None else int(found[1])


def drains(pod: str, serving: int | None) -> bool:
    """Tell whether the pod called *pod* drains while *serving* pods serve."""
    ordinal = ordinal_of(pod)
    return serving is not None and ordinal is not None and ordinal >= serving


def share_of(pod: str, config: Config) -> Share:
    """Return what of the routes' pace is that of the pod called *pod*: all of it when it is no member of a fleet."""
    ordinal = ordinal_of(pod)
    return WHOLE if ordinal is None else Share(config.pods, ordinal)


class Drain:
    """Whether this pod drains, and what follows from it."""

    def __init__(self, doors: Doors, pod: str, patience: float) -> None:
        """Close and open *doors*; a session that goes on for *patience* seconds without an end to its transaction is cut."""
        self._doors = doors
        self._pod = pod
        self._patience = patience
        self._changed = asyncio.Event()
        self._ended = False
        self.wanted = False
        """Whether this pod drains, or is about to."""

    def reconfigure(self, serving: int | None) -> None:
        """Drain, or do not, as it follows from *serving* (`Config.serving`)."""
        wanted = drains(self._pod, serving)
        if wanted != self.wanted:
            self.wanted = wanted
            self._changed.set()

    def end(self) -> None:
        """Begin nothing any more: the process ends."""
        self._ended = True
        self._changed.set()

    async def run(self) -> None:
        """Make what is wanted true until `end` is called."""
        while not self._ended:
            self._changed.clear()
            async with asyncio.TaskGroup() as group:
                work = group.create_task(self._empty() if self.wanted else self._serve())
                await self._changed.wait()
                work.cancel()

    async def _serve(self) -> None:
        if not self._doors.open:
            await self._doors.listen()
            _log.info("drain cancelled")

    async def _empty(self) -> None:
        if self._doors.open:
            _log.info("drain asked for")
            self._doors.stop_accepting()
        cut = await self._doors.finish_sessions(self._patience)
        if cut:
            _log.warning("sessions cut by the drain", sessions=cut)
