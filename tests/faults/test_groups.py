"""How changes share transactions and syncs, and how the log is turned."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.mail.dsn import NO_DSN
from smtp_gateway.spool import journal, rows, schema, writer
from smtp_gateway.spool.api import Entry, Recipient, Selection, Settlement, SpoolUnavailableError
from smtp_gateway.spool.checksum import checksum
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.spool.journal import Journal
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.disks import opened
from tests.support.messages import BODY, NOW, new_message, whole
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from smtp_gateway.spool.room import Look

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

    def slow(one: Journal) -> Look:
        turns.append(one)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        return real(one)

    monkeypatch.setattr(Journal, "turn", slow)
    monkeypatch.setattr(journal, "LOG_SOFT", 100_000)
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


async def test_space_is_given_back_after_a_backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file shrinks while the spool is idle, a part at a time, and what is left in it stays whole."""
    monkeypatch.setattr(journal, "SHRINK", 12)
    monkeypatch.setattr(journal, "LOG_SOFT", 40_000)
    monkeypatch.setattr(writer, "TEND", 0.01)
    body = b"x" * 9000 + b"\r\n.\r\n"
    async with opened(tmp_path) as spool:
        await asyncio.gather(*(spool.put(new_message(body=body)) for _ in range(500)))
        await eventually(lambda: (tmp_path / "index.db").stat().st_size > 4_000_000, what="the log to be turned")
        await spool.until_readable()
        await asyncio.gather(*(spool.settle(Settlement(entry.id)) for entry in spool.lease(NOW, 490)))
        await eventually(lambda: (tmp_path / "index.db").stat().st_size < 1_000_000, what="a smaller file")
        await eventually(lambda: len(spool.lease(NOW, 10)) == 10)

        for listed in spool.listing(Selection(), 10):
            assert await spool.body(listed.entry.id) == body


async def test_an_index_of_an_earlier_version_learns_to_shrink(tmp_path: Path) -> None:
    """It is written anew at the start, if it is not too large for that, with everything in it."""
    old = sqlite3.connect(tmp_path / "index.db", isolation_level=None)
    for step in schema.STEPS[:2]:
        for statement in step:
            old.execute(statement)
    old.execute("PRAGMA user_version = 2")
    old.execute("INSERT INTO message VALUES (7, 'OLD', 'me@here.example', ?, ?, 3, 0, 0, 'app', ?, 0)", (NOW, NOW, checksum(b".\r\n")))
    old.execute("INSERT INTO recipient VALUES (7, 0, 'you@there.example', 1, '450')")
    old.execute("INSERT INTO body VALUES (7, ?)", (b".\r\n",))
    assert old.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    old.close()

    async with opened(tmp_path) as spool:
        assert spool._journal.connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)  # noqa: SLF001 nothing else tells
        (entry,) = spool.lease(NOW, 1)
        assert entry.recipients == (Recipient("you@there.example", 1, "450"),)
        assert entry.dsn is NO_DSN
        assert not entry.requiretls
        assert await spool.body(entry.id) == b".\r\n"
