"""A spool that breaks and opens its folder again: nothing accepted suffers, nothing refused comes back, and no one has to help."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.spool import writer
from smtp_gateway.spool.api import Attempted, Depth, Recipient, Settlement, SpoolUnavailableError
from smtp_gateway.spool.journal import Journal
from tests.support.disks import failing, opened
from tests.support.messages import BODY, NOW, leased, new_message, whole
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from smtp_gateway.spool.disk import DiskSpool

LARGE = b"x" * 400_000 + b"\r\n.\r\n"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a broken spool be opened again without delay."""
    monkeypatch.setattr(writer, "HEAL_FIRST", 0.01)


@pytest.fixture
def break_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the next sync of the log fail; what was committed before it stays readable, as it does where the kernel keeps the pages."""
    real = os.fdatasync

    def arm() -> None:
        def fail(_: int) -> None:
            monkeypatch.setattr(os, "fdatasync", real)
            raise failing(errno.EIO)

        monkeypatch.setattr(os, "fdatasync", fail)

    return arm


async def healed(spool: DiskSpool) -> None:
    """Wait until *spool* takes mail again."""
    await eventually(lambda: spool.healthy() is None, what="healing")


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
async def test_what_was_refused_does_not_come_back(tmp_path: Path, break_once: Callable[[], None], body: bytes) -> None:
    """Its client keeps it: after the failure it is neither in the queue nor on the disk; what was accepted is, and mail is taken again."""
    async with opened(tmp_path) as spool:
        kept = new_message(body=body)
        await spool.put(kept)
        break_once()
        with pytest.raises(SpoolUnavailableError, match="Input/output error"):
            await spool.put(new_message(body=body))
        assert spool.healthy() is not None
        assert spool.lease(NOW, 10) == []
        await healed(spool)
        again = new_message(body=body)
        await spool.put(again)

        assert [entry.id for entry in spool.lease(NOW, 10)] == [kept.id, again.id]
        assert await whole(await spool.body(kept.id)) == body
        assert {path.name for path in (tmp_path / "bodies").iterdir()} == ({kept.id, again.id} if body is LARGE else set())
    async with opened(tmp_path) as spool:
        assert spool.depth().messages == 2


@pytest.mark.parametrize("written", [True, False], ids=["on the disk", "not on the disk"])
async def test_a_settlement_that_failed_is_offered_again(
    tmp_path: Path, break_once: Callable[[], None], monkeypatch: pytest.MonkeyPatch, *, written: bool
) -> None:
    """Whether it had reached the disk or not, the second time it has its effect once: one message less, one notice, one attempt."""
    async with opened(tmp_path) as spool:
        done, bounced = await leased(spool, new_message()), new_message(["a@x.example", "b@x.example"])
        await spool.put(bounced, leased=True)
        told = Attempted(NOW, "deferred", "hop", "450", ("b@x.example",), until=NOW)
        notice = new_message(["me@here.example"], sender="")
        settlements = (
            Settlement(done.id),
            Settlement(bounced.id, (Recipient("b@x.example", 1, "450", NOW + 30),), NOW + 30, (told,), notice),
        )
        if written:
            break_once()
        else:
            monkeypatch.setattr(Journal, "commit", lambda *_: (_ for _ in ()).throw(failing(errno.EIO)))
        results = await asyncio.gather(*map(spool.settle, settlements), return_exceptions=True)
        assert [type(result) for result in results] == [SpoolUnavailableError] * 2
        monkeypatch.undo()
        await healed(spool)
        assert bounced.id not in [entry.id for entry in spool.lease(NOW + 60, 0)]
        await asyncio.gather(*map(spool.settle, settlements))

        assert spool.depth().messages == 2
        assert spool.history(bounced.id) == (told,)
        assert sorted(entry.id for entry in spool.lease(NOW + 30, 10)) == sorted((bounced.id, notice.id))
    async with opened(tmp_path) as spool:
        assert spool.depth().messages == 2


async def test_numbers_are_not_used_again(tmp_path: Path, break_once: Callable[[], None]) -> None:
    """A settlement that reached the disk and is offered again does not remove the message that came after it."""
    async with opened(tmp_path) as spool:
        first = await leased(spool, new_message())
        break_once()
        with pytest.raises(SpoolUnavailableError):
            await spool.settle(Settlement(first.id))
        await healed(spool)
        second = new_message()
        await spool.put(second)
        await spool.settle(Settlement(first.id))

        assert [entry.id for entry in spool.lease(NOW, 10)] == [second.id]
        assert spool.depth() == Depth(1, NOW)


async def test_healing_is_tried_until_it_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the volume is away every try fails, and says so; then one does not."""
    syncs = []

    def fail(descriptor: int) -> None:
        syncs.append(descriptor)
        raise failing(errno.EIO)

    monkeypatch.setattr(writer, "HEAL_LAST", 0.02)
    async with opened(tmp_path) as spool:
        message = new_message()
        await spool.put(message)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            with pytest.raises(SpoolUnavailableError):
                await spool.put(new_message())
            await eventually(lambda: len(syncs) > 4, what="some tries")
            assert "Input/output error" in (spool.healthy() or "")
        await healed(spool)

        assert [entry.id for entry in spool.lease(NOW, 10)] == [message.id]


async def test_a_broken_spool_can_be_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another try, and the next one finds what was accepted."""
    message = new_message()
    async with opened(tmp_path) as spool:
        await spool.put(message)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(failing(errno.EIO)))
            with pytest.raises(SpoolUnavailableError):
                await spool.put(new_message())
            await spool.close()
    async with opened(tmp_path) as spool:
        assert [entry.id for entry in spool.lease(NOW, 10)] == [message.id]
