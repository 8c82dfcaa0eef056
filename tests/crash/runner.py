"""A process that uses a spool and is killed: at a chosen step of durability, or by whoever started it.

    python -m tests.crash.runner FOLDER DIARY script|load

Everything that it was promised stands in the diary (`tests.crash.promises`), in a file of its own that is synced line by line.
`KILL_AT=fdatasync:2:before` kills it before its second fdatasync.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smtp_gateway.mail.envelope import Envelope, MessageId
from smtp_gateway.spool import syncing
from smtp_gateway.spool.api import NewMessage, Recipient, Settlement
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.spool.journal import Journal
from smtp_gateway.telemetry.observer import NullObserver
from tests.crash.promises import RECIPIENTS, SENDER, body_of, size_of

if TYPE_CHECKING:
    from collections.abc import Callable

_sync, _write = os.fsync, os.write


class Diary:
    """What was promised, on the disk."""

    def __init__(self, path: Path) -> None:
        """Begin at *path*."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, *words: str) -> None:
        """Write one line down."""
        _write(self._descriptor, f"{' '.join(words)}\n".encode())
        _sync(self._descriptor)


def arm(step: str, number: int, when: str) -> None:
    """Kill this process at call *number* of *step*: `before` it, `after` it, or `within` it (a write of half of the octets)."""
    syncing.CALLS.clear()  # a sync that the kernel makes by itself calls nothing that could be deadly
    owner: Any = Journal if step in {"commit", "turn", "close"} else os
    real: Callable[..., Any] = getattr(owner, step)
    calls = iter(range(1, sys.maxsize))

    @functools.wraps(real)
    def deadly(*args: Any) -> Any:
        hit = next(calls) == number
        if hit and when == "within":
            _write(args[0], bytes(args[1])[: len(args[1]) // 2])
        if hit and when != "after":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args)
        if hit:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, step, deadly)


async def put(spool: DiskSpool, diary: Diary, message_id: str) -> None:
    """Put one message and note it."""
    body = body_of(message_id, size_of(message_id))
    await spool.put(NewMessage(MessageId(message_id), Envelope(SENDER, RECIPIENTS), body, time.time()))
    diary.note("put", message_id)


async def settle(spool: DiskSpool, diary: Diary, message_id: MessageId, *, defer: bool = False) -> None:
    """Settle one leased message and note it."""
    diary.note("deferring" if defer else "settling", message_id)
    remaining = (Recipient(RECIPIENTS[1], 1, "450 Later", warned=True),) if defer else ()
    await spool.settle(Settlement(message_id, remaining, time.time()))
    diary.note("deferred" if defer else "settled", message_id)


async def script(spool: DiskSpool, diary: Diary) -> None:
    """Pass every step of durability once or more: small, large, deferred, settled, the log turned, closed."""
    for message_id in ("S1", "L1", "S2", "L2", "S3"):
        await put(spool, diary, message_id)
    await asyncio.gather(*(put(spool, diary, f"S1{number}") for number in range(5)))
    leased = spool.lease(time.time(), 100)
    for entry in leased[:2]:
        await settle(spool, diary, entry.id)
    await settle(spool, diary, leased[2].id, defer=True)
    spool._writer._hand_over(spool._journal.turn)  # noqa: SLF001 turned by need and by idleness otherwise, which takes megabytes or seconds
    await put(spool, diary, "S4")
    await put(spool, diary, "L4")
    await spool.close()


async def load(spool: DiskSpool, diary: Diary) -> None:
    """Put and settle without end, many at a time."""

    async def client(name: int) -> None:
        for number in range(sys.maxsize):
            kind = "L" if random.random() < 0.1 else "S"  # noqa: S311 chance, not a secret
            await put(spool, diary, f"{kind}{name}-{os.getpid()}-{number}")

    async def deliver() -> None:
        while True:
            for entry in spool.lease(time.time(), 5):
                await settle(spool, diary, entry.id, defer=random.random() < 0.3)  # noqa: S311 chance, not a secret
            await asyncio.sleep(0)

    await asyncio.gather(deliver(), *(client(name) for name in range(10)))


async def main(folder: Path, diary: Diary, what: str) -> None:
    """Open the spool and do *what*."""
    spool = await DiskSpool.open(folder, NullObserver())
    diary.note("open")
    await (script if what == "script" else load)(spool, diary)


if __name__ == "__main__":
    if "KILL_AT" in os.environ:
        step, number, when = os.environ["KILL_AT"].split(":")
        arm(step, int(number), when)
    asyncio.run(main(Path(sys.argv[1]), Diary(Path(sys.argv[2])), sys.argv[3]))
