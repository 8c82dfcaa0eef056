"""What the routes' budgets of a day have spent, kept over restarts: a file beside the queue.

In a file of its own, and not in the spool's index, because the spool knows messages and nothing of routes; and written once a second
while something is sent, not with each message. What that may cost: after a kill, what was sent in the last second is not counted; after
an orderly end all of it is.

The file tells ages and not times, and when it was written. A clock that was set while the process ran changes nothing, because the counts
follow one that cannot be set; one that was set back while it did not run makes what was sent count longer, at most for a day.

What can go wrong: a file that cannot be written is left out, and one that cannot be read says nothing; both are logged.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from smtp_gateway.rates.budget import Spent, Sums

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

EVERY = 1.0
"""Seconds between two looks at what was sent."""
NAME = "sent"
"""The file's name in the spool's folder."""

_log = structlog.get_logger()


class Budgets(Protocol):
    """What is asked of the paces."""

    def spent(self) -> dict[str, Spent]:
        """Return what counts of each route's budget of a day."""

    def restore(self, spent: Mapping[str, Spent]) -> None:
        """Count what was *spent* before this process."""


class Daybook:
    """The file, and who reads and writes it."""

    def __init__(self, budgets: Budgets, folder: Path, clock: Callable[[], float], ticks: Callable[[], float]) -> None:
        """Keep *budgets* in *folder*; *clock* tells seconds since the epoch, *ticks* those of the clock that the budgets follow."""
        self._budgets = budgets
        self._file = folder / NAME
        self._clock = clock
        self._ticks = ticks
        self._written: dict[str, Spent] = {}
        self._failing = False

    async def restore(self) -> None:
        """Count what the file tells."""
        try:
            text = await asyncio.to_thread(self._file.read_text, "utf-8")
            self._budgets.restore(read(text, self._clock(), self._ticks()))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as fault:
            _log.warning("sent mail not counted", reason=str(fault))
        self._written = self._budgets.spent()

    async def run(self) -> None:
        """Write down what is sent until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            await self.write()

    async def write(self) -> None:
        """Write down what was sent, if anything was since the last time."""
        spent = self._budgets.spent()
        if spent == self._written:
            return
        try:
            await asyncio.to_thread(_replace, self._file, written(spent, self._clock(), self._ticks()))
        except OSError as fault:
            if not self._failing:
                _log.warning("sent mail not written down", reason=str(fault))
            self._failing = True
            return
        self._written, self._failing = spent, False


def written(spent: Mapping[str, Spent], now: float, tick: float) -> str:
    """Return the file's text for what was *spent*, at *now* in seconds since the epoch and *tick* of the budgets' clock."""
    routes = {route: [(tick - began, sums.messages, sums.recipients) for began, sums in one.quarters] for route, one in spent.items()}
    return json.dumps({"written_at": now, "routes": routes})


def read(text: str, now: float, tick: float) -> dict[str, Spent]:
    """Return what *text* tells was spent, on a clock that stands at *tick*. Raises `ValueError` when it is not what `written` makes."""
    try:
        told: dict[str, Any] = json.loads(text)
        since = max(now - float(told["written_at"]), 0.0)
        return {route: Spent(tuple(_quarter(one, tick - since) for one in quarters)) for route, quarters in told["routes"].items()}
    except (KeyError, TypeError, AttributeError) as fault:
        message = f"the file of what was sent is damaged: {fault!r}"
        raise ValueError(message) from fault


def _quarter(told: list[float], then: float) -> tuple[float, Sums]:
    age, messages, recipients = told
    return then - float(age), Sums(int(messages), int(recipients))


def _replace(file: Path, text: str) -> None:
    """Write *text* so that an interruption leaves the file as it was. Raises `OSError`."""
    new = file.with_suffix(".new")
    try:
        new.write_text(text, "utf-8")
        new.replace(file)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
