"""Large bodies on their way to the disk and back: what cannot be written, what is damaged, what is left over."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from smtp_gateway.mail.body import DamagedBodyError
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.spool import bodies
from smtp_gateway.spool.api import Depth, Recipient, Settlement, SpoolFullError, SpoolUnavailableError
from tests.support.disks import failing, opened
from tests.support.messages import BODY, NOW, new_message, whole
from tests.support.waiting import eventually, eventually_sync

LARGE = b"x" * 400_000 + b"\r\n.\r\n"


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
@pytest.mark.parametrize(("number", "expected"), [(errno.ENOSPC, SpoolFullError), (errno.EIO, SpoolUnavailableError)])
async def test_a_large_body_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, expected: type[Exception]
) -> None:
    """The message is refused, no file is left, and the next one is taken."""

    def fail(*_: object) -> None:
        raise failing(number)

    async with opened(tmp_path) as spool:
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(expected) as refused:
                await spool.put(new_message(body=LARGE))
        assert type(refused.value) is expected
        assert list((tmp_path / "bodies").iterdir()) == []
        await spool.put(new_message(body=LARGE))
        assert spool.depth().messages == 1


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["in the index", "in a file"])
async def test_a_damaged_body_is_moved_aside(tmp_path: Path, body: bytes) -> None:
    """It is not delivered and not dropped: what is left of it is kept with its envelope, counted, and the queue goes on."""
    async with opened(tmp_path) as spool:
        message = new_message(body=body)
        await spool.put(message)
        spool.lease(NOW, 1)
        damaged = b"X" + body[1:]
        if body is LARGE:
            (tmp_path / "bodies" / message.id).write_bytes(damaged)
        else:
            spool._journal.connection.execute("UPDATE body SET octets = ?", (damaged,))  # noqa: SLF001 damage has no door
        with pytest.raises(DamagedBodyError):
            await whole(await spool.body(message.id))
        assert spool.depth() == Depth(messages=1, oldest=NOW)
        await spool.settle(Settlement(message.id, (Recipient("you@there.example"),), NOW))

        assert spool.depth() == Depth(damaged=1)
        assert (tmp_path / "damaged" / f"{message.id}.body").read_bytes() == damaged
        facts = json.loads((tmp_path / "damaged" / f"{message.id}.json").read_text())
        assert (facts["sender"], facts["recipients"]) == ("me@here.example", ["you@there.example"])
    async with opened(tmp_path) as spool:
        assert spool.depth() == Depth(damaged=1)


async def test_a_damaged_body_is_kept_for_those_alone_who_are_owed_it(tmp_path: Path) -> None:
    """Who has it by the time that the damage is settled is not written down as owed; the bounce of another enters the queue in its place."""
    async with opened(tmp_path) as spool:
        message = new_message(("has@it.example", "refused@it.example", "owed@it.example"), body=LARGE)
        await spool.put(message)
        spool.lease(NOW, 1)
        (tmp_path / "bodies" / message.id).write_bytes(b"X" + LARGE[1:])
        with pytest.raises(DamagedBodyError):
            await whole(await spool.body(message.id))
        await spool.settle(Settlement(message.id, (Recipient("owed@it.example"),), NOW, notice=new_message()))

        facts = json.loads((tmp_path / "damaged" / f"{message.id}.json").read_text())
        assert facts["recipients"] == ["owed@it.example"]
        assert [entry.recipients for entry in spool.lease(NOW, 2)] == [(Recipient("you@there.example"),)]
        assert spool.depth().damaged == 1


async def test_a_damaged_body_that_everybody_has_is_gone(tmp_path: Path) -> None:
    """Damage that is found behind the last delivery, as by somebody who looks at the message meanwhile, is of no further interest."""
    async with opened(tmp_path) as spool:
        message = new_message(body=LARGE)
        await spool.put(message)
        spool.lease(NOW, 1)
        (tmp_path / "bodies" / message.id).write_bytes(b"X" + LARGE[1:])
        with pytest.raises(DamagedBodyError):
            await whole(await spool.body(message.id))
        await spool.settle(Settlement(message.id))

        assert spool.depth() == Depth()


async def test_a_damaged_body_that_cannot_be_moved_aside_keeps_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settlement is refused and offered again, as any other; nothing of the message is gone in between."""

    def fail(*_: object) -> None:
        raise failing(errno.ENOSPC)

    async with opened(tmp_path) as spool:
        message = new_message(body=LARGE)
        await spool.put(message)
        spool.lease(NOW, 1)
        (tmp_path / "bodies" / message.id).write_bytes(b"X" + LARGE[1:])
        with pytest.raises(DamagedBodyError):
            await whole(await spool.body(message.id))
        settlement = Settlement(message.id, (Recipient("you@there.example"),), NOW)
        with monkeypatch.context() as patch:
            patch.setattr(bodies, "set_aside", fail)
            with pytest.raises(SpoolUnavailableError):
                await spool.settle(settlement)
        assert spool.depth() == Depth(messages=1, oldest=NOW)
        await spool.settle(settlement)

        assert spool.depth() == Depth(damaged=1)


async def test_the_end_of_a_damaged_body_is_never_given(tmp_path: Path) -> None:
    """Blocks are given as they are read, and the last one only once the whole was verified: two readers at once are both told, one pair is kept."""
    body = b"x" * 900_000 + b"\r\n.\r\n"
    async with opened(tmp_path) as spool:
        message = new_message(body=body)
        await spool.put(message)
        (tmp_path / "bodies" / message.id).write_bytes(b"X" + body[1:])
        first, second = await spool.body(message.id), await spool.body(message.id)

        assert not isinstance(first, bytes)
        assert not isinstance(second, bytes)
        blocks = first.blocks()
        given = sum([len(await anext(blocks)) for _ in range(3)])
        with pytest.raises(DamagedBodyError):
            await anext(blocks)
        with pytest.raises((DamagedBodyError, KeyError)):
            await whole(second)
        assert given == 3 * bodies.BLOCK
        assert spool.depth() == Depth(damaged=1)
        assert spool.lease(NOW, 1) == []
        await eventually(lambda: len(list(tmp_path.glob("bodies/*"))) == 0)
        assert len(list((tmp_path / "damaged").iterdir())) == 2


async def test_a_delivery_that_is_broken_off_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is still reading when its delivery is cancelled closes the file itself, once it is done."""
    reading, go_on = threading.Event(), threading.Event()
    real = os.pread

    def slow(descriptor: int, octets: int, offset: int) -> bytes:
        reading.set()
        go_on.wait(10)
        return real(descriptor, octets, offset)

    def opened_files() -> int:
        return sum(path.is_file() and path.resolve().parent.name == "bodies" for path in Path("/proc/self/fd").iterdir())

    async with opened(tmp_path) as spool:
        message = new_message(body=b"x" * 600_000 + b"\r\n.\r\n")
        await spool.put(message)
        body = await spool.body(message.id)
        assert not isinstance(body, bytes)
        monkeypatch.setattr(os, "pread", slow)
        first = asyncio.ensure_future(anext(body.blocks()))
        await asyncio.to_thread(reading.wait, 10)
        assert await asyncio.to_thread(opened_files) == 1
        first.cancel()
        await asyncio.wait([first])
        go_on.set()
        await asyncio.to_thread(eventually_sync, lambda: opened_files() == 0, 5, "the file to be closed")


async def test_a_draft_that_cannot_be_written_goes_on_swallowing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client in the middle of its upload is not disturbed: the fault is told by put, nothing waits, and no file is left."""

    def fail(*_: object) -> int:
        raise failing(errno.ENOSPC)

    async with opened(tmp_path) as spool:
        message = new_message()
        draft = spool.draft(message.id)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", fail)
            draft.write(b"x" * 300_000)
            resumed = asyncio.Event()
            draft.when_written(resumed.set)
            await resumed.wait()
        draft.write(b"x" * 300_000)

        assert (draft.size, draft.backlog) == (600_000, 0)
        with pytest.raises(SpoolFullError):
            await spool.put(replace(message, body=draft))
        assert list((tmp_path / "bodies").iterdir()) == []
        assert spool.depth() == Depth()


async def test_drafts_that_nobody_put_leave_with_the_spool(tmp_path: Path) -> None:
    """A discarded draft has no file any more, and one that is open at the end is removed before the folder is given up."""
    async with opened(tmp_path) as spool:
        discarded, left = spool.draft(MessageId("A")), spool.draft(MessageId("B"))
        for draft in (discarded, left):
            draft.write(b"x" * 300_000)
        discarded.discard()
        discarded.discard()
        await discarded.over
        assert not (tmp_path / "bodies" / "A.unfinished").exists()
    left.write(b"more")

    assert list((tmp_path / "bodies").iterdir()) == []


async def test_a_missing_body_file_is_damage(tmp_path: Path) -> None:
    """A file that somebody removed is reported like any other damage."""
    async with opened(tmp_path) as spool:
        message = new_message(body=LARGE)
        await spool.put(message)
        spool.lease(NOW, 1)
        (tmp_path / "bodies" / message.id).unlink()

        with pytest.raises(DamagedBodyError, match="is 0"):
            await spool.body(message.id)


async def test_files_without_a_row_are_swept_at_the_start(tmp_path: Path) -> None:
    """What a crash left of an unacknowledged body is removed; what has a row stays."""
    async with opened(tmp_path) as spool:
        message = new_message(body=LARGE)
        await spool.put(message)
    for name in ("STRANGER", "OTHER.unfinished"):
        (tmp_path / "bodies" / name).write_bytes(b"half")

    async with opened(tmp_path):
        assert [path.name for path in (tmp_path / "bodies").iterdir()] == [message.id]
