"""Syncs by the kernel and by a thread: the same to who asks for them."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.spool import syncing
from smtp_gateway.spool.syncing import Syncing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(params=["kernel", "thread"])
async def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Syncing]:
    """One that uses the kernel's requests, and one that cannot."""
    if request.param == "thread":
        monkeypatch.setattr(syncing, "CALLS", {})
    with capture_logs() as lines:
        made = Syncing()
    assert bool(lines) == (request.param == "thread")
    yield made
    made.close()


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """A file that is open for writing."""
    opened = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


async def result(way: Syncing, descriptor: int) -> BaseException | None:
    """Sync once, and return what was told."""
    told: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    way.begin(descriptor, told.set_result)
    return await told


async def test_a_sync_is_told_when_it_is_over(way: Syncing, descriptor: int) -> None:
    """One after the other, each told once, on the file that was named."""
    for number in range(20):
        os.pwrite(descriptor, b"x" * 5000, 5000 * number)
        assert await result(way, descriptor) is None


async def test_a_descriptor_that_cannot_be_synced_is_told(way: Syncing) -> None:
    """A pipe has nothing to sync: the error arrives as it would from fdatasync."""
    read_end, write_end = os.pipe()
    try:
        with capture_logs():
            fault = await result(way, write_end)
    finally:
        os.close(read_end)
        os.close(write_end)

    assert isinstance(fault, OSError)


async def test_where_the_kernel_takes_no_request_a_thread_takes_over(descriptor: int) -> None:
    """A request that is refused was not begun: the thread does it, and the log says so once."""
    read_end, write_end = os.pipe()
    way = Syncing()
    try:
        with capture_logs() as lines:
            await result(way, write_end)  # refused as a request already, because a pipe has no sync
            assert await result(way, descriptor) is None
    finally:
        way.close()
        os.close(read_end)
        os.close(write_end)

    assert [line["event"] for line in lines] == ["syncs are made by a thread"]


class FailedEvent:
    """What the kernel tells of a request that met a broken disk."""

    size = 32

    @staticmethod
    def unpack(_: bytes) -> tuple[int, int, int, int]:
        """Return an event of EIO."""
        return 0, 0, -errno.EIO, 0


async def test_a_sync_that_fails_is_not_tried_by_a_thread(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel began and could not finish is told, and the same sync is not asked for again."""
    again: list[int] = []
    monkeypatch.setattr(os, "fdatasync", again.append)
    way = Syncing()
    monkeypatch.setattr(syncing, "_EVENT", FailedEvent)  # no file of a test is on a disk that fails
    try:
        fault = await result(way, descriptor)
    finally:
        way.close()

    assert isinstance(fault, OSError)
    assert fault.errno == errno.EIO
    assert again == []
