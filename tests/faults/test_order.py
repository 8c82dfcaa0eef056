"""The order of the steps of durability, as the spool makes them, and that nobody is answered before the last one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway.spool.api import Settlement
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.spool.journal import Journal
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.messages import NOW, new_message
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LARGE = b"x" * 400_000 + b"\r\n.\r\n"


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[DiskSpool]:
    """An empty spool."""
    opened = await DiskSpool.open(tmp_path, NullObserver())
    yield opened
    await opened.close()


@pytest.fixture
def steps(spool: DiskSpool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that are made, in their order, each noted once it is done."""
    assert spool.healthy() is None
    made: list[str] = []

    def noted(owner: object, name: str, describe: Callable[..., str]) -> None:
        real = getattr(owner, name)

        def step(*args: Any, **kwargs: Any) -> Any:
            described = describe(*args)
            result = real(*args, **kwargs)
            made.append(described)
            return result

        monkeypatch.setattr(owner, name, step)

    noted(os, "fsync", lambda descriptor: f"fsync {_kind(descriptor)}")
    noted(os, "fdatasync", lambda descriptor: f"fdatasync {_kind(descriptor)}")
    noted(os, "rename", lambda *_: "rename")
    noted(os, "unlink", lambda *_: "unlink")
    noted(Journal, "commit", lambda *_: "commit")
    return made


def _kind(descriptor: int) -> str:
    path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
    return "log" if path.endswith("-wal") else "body" if path.endswith(".unfinished") else path.rpartition("/")[2]


async def test_a_small_message(spool: DiskSpool, steps: list[str]) -> None:
    """Commit, sync of the log, answer."""
    await spool.put(new_message())

    assert steps == ["commit", "fdatasync log"]


async def test_a_large_message(spool: DiskSpool, steps: list[str]) -> None:
    """File synced, renamed, its folder synced, and only then the row."""
    await spool.put(new_message(body=LARGE))

    assert steps == ["fsync body", "rename", "fsync bodies", "commit", "fdatasync log"]


async def test_a_settled_large_message(spool: DiskSpool, steps: list[str]) -> None:
    """The file goes after the settlement is on the disk."""
    message = new_message(body=LARGE)
    await spool.put(message)
    spool.lease(NOW, 1)
    steps.clear()
    await spool.settle(Settlement(message.id))

    await eventually(lambda: "unlink" in steps)
    assert steps == ["commit", "fdatasync log", "unlink"]


async def test_what_is_not_synced_is_neither_answered_nor_leased(spool: DiskSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the sync hangs, `put` does not return, the message cannot be leased, and the next message waits for the next group."""
    loop, gate, syncs = asyncio.get_running_loop(), asyncio.Event(), []
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        syncs.append(descriptor)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    first = spool.put(new_message())
    await eventually(lambda: len(syncs) == 1)
    others = [spool.put(new_message()) for _ in range(10)]
    await asyncio.sleep(0)

    assert not first.done()
    assert (spool.lease(NOW, 10), spool.next_due(NOW), spool.depth().messages) == ([], None, 0)
    gate.set()
    await asyncio.gather(first, *others)
    assert len(syncs) == 2
    assert len(spool.lease(NOW, 20)) == 11
