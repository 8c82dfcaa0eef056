"""Waiting for a condition with a deadline: the only synchronisation that the tests know."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE = 0.01
"""Seconds between two looks."""


class DeadlinePassedError(AssertionError):
    """The condition did not become true in time."""


async def eventually(condition: Callable[[], object], within: float = 5.0, what: str = "") -> None:
    """Return as soon as *condition* holds, without blocking the event loop.

    Raises `DeadlinePassedError` when it does not within *within* seconds.
    """
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise DeadlinePassedError(_missing(condition, within, what))
        await asyncio.sleep(PAUSE)


def eventually_sync(condition: Callable[[], object], within: float = 5.0, what: str = "", pause: float = PAUSE) -> None:
    """Return as soon as *condition* holds, looking every *pause* seconds.

    Raises `DeadlinePassedError` when it does not within *within* seconds.
    """
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise DeadlinePassedError(_missing(condition, within, what))
        time.sleep(pause)


def _missing(condition: Callable[[], object], within: float, what: str) -> str:
    return f"not within {within:g} s: {what or getattr(condition, '__name__', repr(condition))}"
