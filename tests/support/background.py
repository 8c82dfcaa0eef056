"""An event loop in a thread of its own, for servers of tests that block."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

Result = TypeVar("Result")

PATIENCE = 20.0
"""Seconds that what is run there may take."""


class Background:
    """The loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run coroutines in *loop*, which runs already."""
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run *work* there and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


@contextmanager
def background() -> Iterator[Background]:
    """Give a loop that runs until the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield Background(loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
