"""A process that takes a spool through all it does, while every file operation of it is recorded.

    python -m tests.crash.cut_runner FOLDER DIARY first|again

`first` puts, settles, defers, returns, turns the log, closes and opens again, loses a body to the disk, and then becomes `again` as if it had been killed: that one
finds an unclean stop. Only the port of the spool is used, and some thresholds are lowered, because a log of megabytes has more steps than
it has meaning.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from smtp_gateway.mail.body import DamagedBodyError
from smtp_gateway.mail.envelope import Envelope, MessageId
from smtp_gateway.spool import journal, room, syncing, writer
from smtp_gateway.spool.api import NewMessage, Settlement
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.crash.promises import RECIPIENTS, SENDER, body_of, size_of
from tests.crash.runner import Diary, put, settle
from tests.support.messages import whole

LOG = 64 * 1024
"""Octets of log after which it is turned, and to which it is cut then."""
BALLAST = 16 * 1024
"""Octets of the ballast: its content means nothing, and each disk that is replayed has a copy of it."""


async def bounce(spool: DiskSpool, diary: Diary, message_id: MessageId) -> None:
    """Settle one leased message by a notice to its sender."""
    notice = MessageId(f"N{message_id}")
    diary.note("bouncing", message_id, notice)
    written = NewMessage(notice, Envelope("", (SENDER,)), body_of(notice, size_of(notice)), time.time())
    await spool.settle(Settlement(message_id, notice=written))
    diary.note("bounced", message_id, notice)


async def draft(spool: DiskSpool, diary: Diary, name: str) -> None:
    """Put a large message that arrives bit by bit, while another one stops arriving."""
    given_up, drafted = spool.draft(MessageId(f"{name}-given-up")), spool.draft(MessageId(name))
    body = body_of(name, size_of(name))
    for begin in range(0, len(body), 90_000):
        given_up.write(b"x" * 90_000)
        drafted.write(body[begin : begin + 90_000])
        written = asyncio.Event()
        drafted.when_written(written.set)
        await written.wait()
    given_up.discard()
    await spool.put(NewMessage(drafted.message_id, Envelope(SENDER, RECIPIENTS), drafted, time.time()))
    diary.note("put", name)


async def remove(spool: DiskSpool, diary: Diary, name: str) -> None:
    """Remove a message as a person does."""
    diary.note("settling", name)
    assert await spool.remove(MessageId(name))
    diary.note("settled", name)


async def damage(spool: DiskSpool, diary: Diary, name: str, file: Path) -> None:
    """Damage a body and let the spool find out."""
    diary.note("damaging", name)
    with file.open("rb+", buffering=0) as body:
        body.write(b"damage")
        os.fsync(body.fileno())
    with suppress(DamagedBodyError):
        await whole(await spool.body(MessageId(name)))
        raise AssertionError(name)
    diary.note("aside", name)


async def group(spool: DiskSpool, diary: Diary, *names: str) -> None:
    """Put messages at once."""
    await asyncio.gather(*(put(spool, diary, name) for name in names))


async def outcomes(spool: DiskSpool, diary: Diary) -> None:
    """Settle some of what is due: delivered, put off, returned, one by one and then together. Notices stay."""
    await spool.until_readable()
    leased = spool.lease(time.time() + 1, 12)
    due = [entry for entry in leased if entry.sender][:8]
    await settle(spool, diary, due[0].id)
    await settle(spool, diary, due[1].id, defer=True)
    await bounce(spool, diary, due[2].id)
    await asyncio.gather(settle(spool, diary, due[3].id), bounce(spool, diary, due[4].id), put(spool, diary, f"S{due[0].id}"))
    for entry in leased:
        spool.release(entry.id)


async def first(folder: Path, diary: Diary) -> None:
    """Pass everything once, the turn of the log and a clean stop included."""
    spool = await DiskSpool.open(folder, NullObserver())
    for name in ("S1", "L1", "S2", "L2"):
        await put(spool, diary, name)
    await group(spool, diary, *(f"S1{number}" for number in range(5)), "L3")
    await outcomes(spool, diary)
    for number in range(20, 32, 3):
        await group(spool, diary, *(f"S{number + one}" for one in range(3)))
    await group(spool, diary, "L4", "S40")
    await outcomes(spool, diary)
    await spool.close()
    spool = await DiskSpool.open(folder, NullObserver())
    await group(spool, diary, "L5", "S50")
    await outcomes(spool, diary)
    await draft(spool, diary, "L7")
    await remove(spool, diary, "L7")
    await draft(spool, diary, "L8")
    await damage(spool, diary, "L8", folder / "bodies" / "L8")
    await spool.until_readable()  # no log is being turned: a write that dies half-way is known to the kernel alone
    line = [sys.executable, "-m", "tests.crash.cut_runner", str(folder), sys.argv[2], "again"]
    os.execv(line[0], line)  # noqa: S606 ends every thread at once and closes nothing that SQLite would write at its end


async def again(folder: Path, diary: Diary) -> None:
    """Find what the one before left, and go on."""
    spool = await DiskSpool.open(folder, NullObserver())
    await group(spool, diary, "L6", "S60", "S61")
    await outcomes(spool, diary)
    await spool.close()


if __name__ == "__main__":
    writer.LOG_HARD = journal.LOG_SOFT = LOG
    room.BALLAST = BALLAST
    syncing.CALLS.clear()  # the recorder sees system calls: a sync that is requested begins at the same place and ends unseen
    _, FOLDER, DIARY, PART = sys.argv
    asyncio.run((first if PART == "first" else again)(Path(FOLDER), Diary(Path(DIARY))))
