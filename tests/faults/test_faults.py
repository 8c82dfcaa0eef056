"""What the disk's spool does when the disk does not: full, failing, damaged, in use, from another time."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.spool import schema, writer
from smtp_gateway.spool.api import FULL, Depth, Settlement, SpoolFullError, SpoolUnavailableError
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.spool.folder import Folder
from smtp_gateway.spool.room import Volume
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.disks import failing, opened
from tests.support.messages import BODY, NOW, new_message
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

LARGE = b"x" * 400_000 + b"\r\n.\r\n"


async def test_a_failed_sync_is_the_end_of_its_group_and_of_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group is refused, the spool says why it is broken, and no second sync is tried."""
    syncs = []

    def fail(descriptor: int) -> None:
        syncs.append(descriptor)
        raise failing(errno.EIO)

    async with opened(tmp_path / "spool") as spool:
        kept = new_message()
        await spool.put(kept)
        monkeypatch.setattr(os, "fdatasync", fail)
        results = await asyncio.gather(*(spool.put(new_message()) for _ in range(3)), return_exceptions=True)
        with pytest.raises(SpoolUnavailableError):
            await spool.put(new_message())

        assert [type(result) for result in results] == [SpoolUnavailableError] * 3
        assert len(syncs) == 1
        assert "a sync of the spool's log failed: [Errno 5] Input/output error" in (spool.healthy() or "")
        assert spool.lease(NOW, 10) == []
        assert spool.next_due(NOW) is not None
        shutil.copytree(tmp_path / "spool", tmp_path / "restarted")

    monkeypatch.undo()
    async with opened(tmp_path / "restarted") as spool:
        assert [entry.id for entry in spool.lease(NOW, 10)] == [kept.id]


async def test_a_failed_sync_is_not_followed_by_writing_at_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log stays as it is for the next process to verify: closing does not move it into the index."""
    async with opened(tmp_path) as spool:
        await spool.put(new_message())
        monkeypatch.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(failing(errno.EIO)))
        with pytest.raises(SpoolUnavailableError):
            await spool.put(new_message())
        before = (tmp_path / "index.db-wal").read_bytes()

    assert (tmp_path / "index.db-wal").read_bytes() == before


async def test_a_full_index_refuses_new_mail_and_recovers(tmp_path: Path) -> None:
    """SQLITE_FULL is 452 for new mail; what is there stays, and when there is room again, mail is taken again."""
    async with opened(tmp_path) as spool:
        kept = new_message()
        await spool.put(kept)
        connection = spool._journal.connection  # noqa: SLF001 the limit makes SQLite find its disk full
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        with pytest.raises(SpoolFullError):
            await spool.put(new_message(body=b"x" * 200_000 + b"\r\n.\r\n"))
        connection.execute("PRAGMA max_page_count = 1000000").fetchone()
        await spool.put(new_message())

        assert spool.healthy() is None
        assert await spool.body(kept.id) == BODY
        assert spool.depth().messages == 2


async def test_a_full_disk_still_settles(tmp_path: Path) -> None:
    """In a group that does not fit, the new mail is refused and the settlement goes through."""
    async with opened(tmp_path) as spool:
        message = new_message()
        await spool.put(message)
        spool.lease(NOW, 1)
        connection = spool._journal.connection  # noqa: SLF001 the limit makes SQLite find its disk full
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        putting = spool.put(new_message(body=b"x" * 200_000 + b"\r\n.\r\n"))
        settling = spool.settle(Settlement(message.id))

        with pytest.raises(SpoolFullError):
            await putting
        await settling
        assert spool.depth() == Depth()


@pytest.mark.parametrize(
    ("volume", "sentence", "expected"),
    [
        (Volume(size=10**9, left=0), "the spool's volume is full", SpoolFullError),
        (Volume(size=10**9, left=10**9, read_only=True), "the spool's volume is read-only", SpoolUnavailableError),
    ],
)
async def test_trap_09_health_follows_the_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, volume: Volume, sentence: str, expected: type[Exception]
) -> None:
    """Trap 9: full or read-only makes the spool unhealthy without any mail, and it recovers by itself."""
    monkeypatch.setattr(writer, "TEND", 0.01)
    async with opened(tmp_path) as spool:
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "volume", lambda _: volume)
            await eventually(lambda: spool.healthy() == sentence)
            with pytest.raises(expected):
                await spool.put(new_message())
        await eventually(lambda: spool.healthy() is None)
        await spool.put(new_message())


async def test_trap_07_a_second_process_is_kept_out(tmp_path: Path) -> None:
    """Trap 7: one sentence, and the first one goes on."""
    async with opened(tmp_path) as spool:
        with pytest.raises(SpoolUnavailableError, match="is in use by another process"):
            await DiskSpool.open(tmp_path, NullObserver())
        await spool.put(new_message())


async def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """One sentence names the folder."""
    (tmp_path / "file").touch()

    with pytest.raises(SpoolUnavailableError, match=r"the spool folder .*file/spool cannot be used: Not a directory"):
        await DiskSpool.open(tmp_path / "file" / "spool", NullObserver())


async def test_a_spool_from_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """It is refused with both numbers, and not written to."""
    async with opened(tmp_path) as spool:
        await spool.put(new_message())
    connection = sqlite3.connect(tmp_path / "index.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = (tmp_path / "index.db").read_bytes()

    with pytest.raises(SpoolUnavailableError, match=f"format 99, this one knows {len(schema.STEPS)}"):
        await DiskSpool.open(tmp_path, NullObserver())
    assert (tmp_path / "index.db").read_bytes() == before


async def test_a_queue_that_was_empty_at_a_clean_stop_may_go_on_in_an_older_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the newer format is left, so the older version makes its own; one message is enough to keep it."""
    async with opened(tmp_path) as spool:
        await spool.put(new_message())
        (entry,) = spool.lease(NOW, 10)
        await spool.settle(Settlement(entry.id))
    with monkeypatch.context() as older:
        older.setattr(schema.migrate, "__defaults__", (schema.STEPS[:-1],))
        async with opened(tmp_path) as spool:
            assert spool.depth().messages == 0
    async with opened(tmp_path) as spool:
        await spool.put(new_message())
    monkeypatch.setattr(schema.migrate, "__defaults__", (schema.STEPS[:-1],))
    with pytest.raises(SpoolUnavailableError, match="newer version"):
        await DiskSpool.open(tmp_path, NullObserver())


async def test_an_index_that_cannot_be_removed_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop does not fail for it."""

    def fail(_: Path) -> None:
        raise failing(errno.EROFS)

    with monkeypatch.context() as faulty:
        async with opened(tmp_path):
            faulty.setattr(type(tmp_path), "unlink", fail)
    assert (tmp_path / "index.db").exists()

    async with opened(tmp_path) as spool:
        await spool.put(new_message())


def test_an_older_index_is_brought_forward(tmp_path: Path) -> None:
    """Each missing step is made once, and one that fails leaves the version before it."""
    connection = schema.connect(tmp_path / "index.db", 0)
    schema.migrate(connection)
    steps = (*schema.STEPS, ("ALTER TABLE message ADD COLUMN route TEXT",))
    schema.migrate(connection, steps)
    schema.migrate(connection, steps)
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, (*steps, ("CREATE TABLE more (x)", "NONSENSE")))

    assert connection.execute("PRAGMA user_version").fetchone() == (len(steps),)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("clean", [True, False], ids=["after a clean stop", "after a kill"])
async def test_a_damaged_index_is_found_after_an_unclean_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, clean: bool) -> None:
    """The index is checked after a kill, and the spool does not open over damage; after a clean stop the check is spared."""
    checks = []
    real = schema.check

    def noted(connection: sqlite3.Connection) -> None:
        checks.append(connection)
        real(connection)

    monkeypatch.setattr(schema, "check", noted)
    async with opened(tmp_path / "spool") as spool:
        await asyncio.gather(*(spool.put(new_message(body=b"x" * 9000 + b"\r\n.\r\n")) for _ in range(50)))
        await asyncio.to_thread(spool._journal.turn)  # noqa: SLF001 so that the rows are in the main file
        if not clean:
            shutil.copytree(tmp_path / "spool", tmp_path / "killed")
    folder = tmp_path / ("spool" if clean else "killed")
    if clean:
        async with opened(folder) as spool:
            assert spool.depth().messages == 50
        assert checks == []
        return
    index = (folder / "index.db").read_bytes()
    middle = len(index) // 2 // 16384 * 16384
    (folder / "index.db").write_bytes(index[:middle] + b"\xee" * 65536 + index[middle + 65536 :])

    async with opened(folder) as spool:
        assert 0 < spool.depth().messages < 50
        assert spool.depth().messages + spool.depth().damaged >= 50


async def test_the_reserve_is_what_it_is_told_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New mail is refused while less than the reserve is free, and the reserve may be changed while the spool works."""
    monkeypatch.setattr(writer, "TEND", 0.01)
    async with opened(tmp_path) as spool:
        spool.reserve(1 << 60)
        await eventually(lambda: spool.healthy() == FULL)
        with pytest.raises(SpoolFullError):
            await spool.put(new_message())
        spool.reserve(1)
        await eventually(lambda: spool.healthy() is None)
        await spool.put(new_message())
