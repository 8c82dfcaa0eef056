"""How the queue divides among routes, asked of both spools."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import Config, Route
from smtp_gateway.qshape import PAGE, QueueShape, Waiting
from smtp_gateway.spool.api import SpoolUnavailableError
from smtp_gateway.spool.memory import MemorySpool
from tests.support.gateway import config
from tests.support.messages import NOW, new_message
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from smtp_gateway.spool.api import Spool

OTHER = Route(name="other", recipient_domains=("other.example",))


def two_routes() -> Config:
    """Return a configuration with a route of its own for one domain."""
    return config().model_copy(update={"routes": (OTHER, *config().routes)})


@asynccontextmanager
async def walking(shape: QueueShape) -> AsyncIterator[None]:
    """Let *shape* walk by itself."""
    task = asyncio.create_task(shape.run())
    yield
    task.cancel()
    await asyncio.wait([task])


async def test_messages_count_for_each_route_that_they_take(spool: Spool) -> None:
    """Since when, too; leased and held ones among them, and nothing of a route is something that is known."""
    shape = QueueShape(spool, two_routes())
    assert shape.found is None
    await shape.walk()
    assert shape.found == {"other": Waiting(), "default": Waiting()}

    await spool.put(new_message(["a@other.example", "b@there.example", "c@other.example"], accepted_at=NOW - 5), leased=True)
    held = new_message(["a@there.example"], accepted_at=NOW - 60)
    await spool.put(held)
    await spool.hold(held.id)
    await shape.walk()
    assert shape.found == {"other": Waiting(1, NOW - 5), "default": Waiting(2, NOW - 60)}


async def test_a_long_queue_is_walked_through_page_by_page(spool: Spool) -> None:
    """To its end, and no further than there was when it began."""
    for _ in range(2 * PAGE + 1):
        await spool.put(new_message())
    shape = QueueShape(spool, two_routes())
    walk = asyncio.create_task(shape.walk())
    await asyncio.sleep(0)
    for _ in range(PAGE):
        await spool.put(new_message(["a@other.example"]))
    await walk

    assert shape.found == {"other": Waiting(), "default": Waiting(2 * PAGE + 1, NOW)}


async def test_what_was_found_counts_until_routes_change() -> None:
    """Then nothing is known until the queue was walked through anew, and a walk that is under way counts for nothing."""
    spool = MemorySpool()
    for _ in range(PAGE + 1):
        await spool.put(new_message(["a@other.example"]))
    shape = QueueShape(spool, config())
    await shape.walk()
    shape.reconfigure(config().model_copy(update={"hostname": "other.example.com"}))
    assert shape.found == {"default": Waiting(PAGE + 1, NOW)}

    walk = asyncio.create_task(shape.walk())
    await asyncio.sleep(0)
    shape.reconfigure(two_routes())
    await walk
    assert shape.found is None
    async with walking(shape):
        await eventually(lambda: shape.found)
    assert shape.found == {"other": Waiting(PAGE + 1, NOW), "default": Waiting()}


async def test_a_change_of_routes_is_not_waited_for() -> None:
    """The next walk begins at once, and not when its time has come."""
    spool = MemorySpool()
    await spool.put(new_message(["a@other.example"]))
    shape = QueueShape(spool, config())
    async with walking(shape):
        await eventually(lambda: shape.found)
        shape.reconfigure(two_routes())
        await eventually(lambda: shape.found)
    assert shape.found == {"other": Waiting(1, NOW), "default": Waiting()}


async def test_a_spool_that_cannot_be_read_is_looked_at_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found before is told until then."""
    spool = MemorySpool()
    await spool.put(new_message())
    shape = QueueShape(spool, config())
    await shape.walk()

    asked: list[bool] = []

    async def broken() -> None:
        asked.append(True)
        raise SpoolUnavailableError

    monkeypatch.setattr(spool, "until_readable", broken)
    await spool.put(new_message())
    with pytest.raises(SpoolUnavailableError):
        await shape.walk()
    monkeypatch.setattr("smtp_gateway.qshape.EVERY", 0.01)
    async with walking(shape):
        await eventually(lambda: len(asked) > 2)
        assert shape.found == {"default": Waiting(1, NOW)}
        monkeypatch.setattr(spool, "until_readable", partial(asyncio.sleep, 0))
        await eventually(lambda: shape.found == {"default": Waiting(2, NOW)})
