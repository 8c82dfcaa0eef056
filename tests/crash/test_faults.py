"""What the disk's spool does when the disk does not: full, failing, damaged, in use, from another time."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import sqlite3
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.mail.body import DamagedBodyError
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.spool import bodies, rows, schema, writer
from smtp_gateway.spool.api import Depth, Entry, Settlement, SpoolFullError, SpoolUnavailableError
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.spool.folder import Folder, Room
from smtp_gateway.spool.journal import Journal, Synced
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.messages import BODY, NOW, new_message, whole
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LARGE = b"x" * 400_000 + b"\r\n.\r\n"


class Syncs(NullObserver):
    """Records how many messages each sync made durable."""

    def __init__(self) -> None:
        """Begin with none."""
        self.groups: list[int] = []

    def synced(self, messages: int, seconds: float) -> None:
        """Record one."""
        assert seconds > 0
        self.groups.append(messages)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the format of the log out of these tests."""
    with capture_logs():
        yield


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[DiskSpool]:
    """Open the spool in *folder*, and close it."""
    spool = await DiskSpool.open(folder, NullObserver())
    try:
        yield spool
    finally:
        await spool.close()


def failing(number: int) -> OSError:
    """Return the error that the system would give."""
    return OSError(number, os.strerror(number))


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
        assert "Input/output error; the process must be started again" in (spool.healthy() or "")
        assert (spool.lease(NOW, 10), spool.next_due(NOW)) == ([], None)
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


@pytest.mark.parametrize(
    ("room", "sentence", "expected"),
    [
        (Room(free=0), "the spool's volume is full", SpoolFullError),
        (Room(free=10**9, read_only=True), "the spool's volume is read-only", SpoolUnavailableError),
    ],
)
async def test_trap_09_health_follows_the_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: Room, sentence: str, expected: type[Exception]
) -> None:
    """Trap 9: full or read-only makes the spool unhealthy without any mail, and it recovers by itself."""
    monkeypatch.setattr(writer, "TEND", 0.01)
    async with opened(tmp_path) as spool:
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "room", lambda _: room)
            await eventually(lambda: spool.healthy() == sentence)
            with pytest.raises(expected):
                await spool.put(new_message())
        await eventually(lambda: spool.healthy() is None)
        await spool.put(new_message())


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

        assert spool.depth() == Depth(damaged=1)
        assert (tmp_path / "damaged" / f"{message.id}.body").read_bytes() == damaged
        facts = json.loads((tmp_path / "damaged" / f"{message.id}.json").read_text())
        assert (facts["sender"], facts["recipients"]) == ("me@here.example", ["you@there.example"])
    async with opened(tmp_path) as spool:
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


async def test_one_message_that_no_row_can_hold_takes_no_others_with_it(tmp_path: Path) -> None:
    """In a group, an address that is not text and an identifier that is taken are refused alone."""
    async with opened(tmp_path) as spool:
        taken = new_message()
        await spool.put(taken)
        good, bad, twice = new_message(), new_message(["\udcff@x.example"]), replace(new_message(), id=taken.id)
        results = await asyncio.gather(*map(spool.put, (good, bad, twice)), return_exceptions=True)

        assert [type(result) for result in results] == [Entry, SpoolUnavailableError, SpoolUnavailableError]
        assert spool.healthy() is None
        assert [entry.id for entry in spool.lease(NOW, 10)] == [taken.id, good.id]


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
    async with opened(tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / "index.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(SpoolUnavailableError, match=f"format 99, this one knows {len(schema.STEPS)}"):
        await DiskSpool.open(tmp_path, NullObserver())


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
    (folder / "index.db").write_bytes(index[:8192] + b"\xee" * 65536 + index[8192 + 65536 :])

    with pytest.raises(SpoolUnavailableError, match=r"damaged|malformed"):
        await DiskSpool.open(folder, NullObserver())


async def test_the_log_is_turned_under_load_and_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more written than the bound, the log was turned, nothing was lost by it, and leases went on."""
    monkeypatch.setattr(writer, "LOG_HARD", 1_000_000)
    async with opened(tmp_path) as spool:
        for _ in range(20):
            await asyncio.gather(*(spool.put(new_message(body=b"x" * 9000 + b"\r\n.\r\n")) for _ in range(30)))
        await eventually(lambda: len(spool.lease(NOW, 1)) == 1)
        (turns,) = spool._journal.connection.execute("SELECT turns FROM life").fetchone()  # noqa: SLF001 nothing else tells

        assert turns > 3
        assert spool.depth().messages == 600
        assert (tmp_path / "index.db-wal").stat().st_size < 8_000_000


async def test_an_idle_spool_turns_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is worth it is turned when nothing else is to do; while it is, messages and bodies wait and then go on."""
    loop, gate, turns = asyncio.get_running_loop(), asyncio.Event(), []
    real = Journal.turn

    def slow(journal: Journal) -> Synced:
        turns.append(journal)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        return real(journal)

    monkeypatch.setattr(Journal, "turn", slow)
    monkeypatch.setattr(writer, "LOG_SOFT", 100_000)
    monkeypatch.setattr(writer, "TEND", 0.01)
    async with opened(tmp_path) as spool:
        messages = [new_message(body=b"x" * 9000 + b"\r\n.\r\n") for _ in range(30)]
        await asyncio.gather(*(spool.put(message) for message in messages))
        await eventually(lambda: turns, what="the turn")
        putting = spool.put(new_message())
        reading = asyncio.create_task(spool.body(messages[0].id))
        await asyncio.sleep(0)

        assert (spool.lease(NOW, 1), spool.depth().messages, putting.done(), reading.done()) == ([], 30, False, False)
        assert spool.next_due(NOW) is not None
        gate.set()
        await putting
        assert await reading == messages[0].body
        assert len(spool.lease(NOW, 100)) == 31


async def test_messages_that_come_together_share_a_sync(tmp_path: Path) -> None:
    """A hundred concurrent puts take a few syncs, and each message is counted once."""
    syncs = Syncs()
    spool = await DiskSpool.open(tmp_path, syncs)
    await asyncio.gather(*(spool.put(new_message()) for _ in range(100)))
    await spool.close()

    assert sum(syncs.groups) == 100
    assert len(syncs.groups) <= 3


async def test_a_put_that_nobody_waits_for_is_still_consistent(tmp_path: Path) -> None:
    """A client that goes while its message is written leaves a whole message behind, or none."""
    async with opened(tmp_path) as spool:
        for body in (BODY, LARGE):
            putting = spool.put(new_message(body=body))
            await asyncio.sleep(0)
            putting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await putting
        await spool.put(new_message())

        for entry in spool.lease(NOW, 10):
            assert len(await whole(await spool.body(entry.id))) == entry.size


async def test_leasing_does_not_read_the_backlog(tmp_path: Path) -> None:
    """The due entries, the next time and the identities come from an index in their order, without sorting or scanning."""
    async with opened(tmp_path) as spool:
        for query, values in ((rows._DUE, ("", 1)), (rows._NEXT_DUE, ("", 1)), (rows._NEXT_IDENTITY, ("",))):  # noqa: SLF001 see above
            plan = " ".join(row[3] for row in spool._journal.connection.execute(f"EXPLAIN QUERY PLAN {query}", values))  # noqa: SLF001 see above

            assert "SEARCH message USING" in plan
            assert "message_due" in plan
            assert "TEMP B-TREE" not in plan
