"""`python -m bench.backlog [MESSAGES ...]`: what a long queue costs. Prints a table; needs no root.

For each length a spool is filled through the statements that the gateway uses (4 KB bodies, one recipient, all due), closed, and opened by a
process of its own, once as after a clean stop and once as after a kill. There: seconds to open, resident memory, microseconds for a lease of
100 and for `next_due`, with one identity and with a thousand. With `--assert` the promises are held: open in 10 s, 400 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from smtp_gateway.mail.envelope import Envelope, MessageId
from smtp_gateway.spool import rows
from smtp_gateway.spool.api import NewMessage
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.spool.folder import claim
from smtp_gateway.spool.journal import open_journal
from smtp_gateway.telemetry.observer import NullObserver

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
IDENTITIES = (1, 1_000)
NOW = 1_800_000_000.0
BODY = b"Subject: A long queue\r\n\r\n" + (b"x" * 76 + b"\r\n") * 52 + b".\r\n"
GROUP = 5_000
OPEN_SECONDS, RESIDENT_MB = 10.0, 400.0
"""The promises, for a million messages; half as much again is allowed to a machine that is busy with other things."""
ALLOWED = 1.5


class Figures(NamedTuple):
    """What one process found."""

    open_s: float
    resident_mb: float
    lease_us: float
    next_due_us: float


def fill(folder: Path, messages: int, identities: int) -> None:
    """Queue *messages*, and stop cleanly."""
    claimed = claim(folder)
    journal = open_journal(claimed)
    for start in range(0, messages, GROUP):
        group = [_message(number, identities) for number in range(start, min(start + GROUP, messages))]
        journal.commit([rows.arrival(message, len(BODY)) for message in group], ())
        journal.turn()
    journal.close()
    claimed.give_up()


def _message(number: int, identities: int) -> NewMessage:
    envelope = Envelope("me@here.example", (f"user{number}@there.example",))
    return NewMessage(MessageId(f"B{number:09d}"), envelope, BODY, NOW - number % 1000, f"app-{number % identities}")


async def measure(folder: Path) -> Figures:
    """Open the spool in *folder* and use it a little."""
    began = time.perf_counter()
    spool = await DiskSpool.open(folder, NullObserver())
    opened = time.perf_counter() - began

    def lease() -> None:
        for entry in spool.lease(NOW, 100):
            spool.release(entry.id)

    figures = Figures(opened, _resident(), _median_us(lease), _median_us(lambda: spool.next_due(NOW)))
    figures = figures._replace(resident_mb=_resident())
    await spool.close()
    return figures


def _median_us(work: Callable[[], object], times: int = 50) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return median(took) * 1e6


def _resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_a_process(folder: Path) -> Figures:
    command = [sys.executable, "-m", "bench.backlog", "--measure", str(folder)]
    return Figures(*json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def _row(messages: int, identities: int, scratch: Path) -> tuple[Figures, float]:
    """Return the figures after a clean stop, and the seconds to open after a kill."""
    folder = scratch / f"{messages}-{identities}"
    fill(folder, messages, identities)
    figures = _in_a_process(folder)
    claimed = claim(folder)
    open_journal(claimed).abandon()  # what a kill leaves behind: an index that says it is in use
    claimed.give_up()
    unclean = _in_a_process(folder)
    shutil.rmtree(folder)
    return figures, unclean.open_s


def main() -> None:
    """Fill, measure, print, and hold the promises if asked to."""
    arguments = argparse.ArgumentParser(prog="python -m bench.backlog", description="What a long queue costs.")
    arguments.add_argument("messages", nargs="*", type=int, default=LENGTHS)
    arguments.add_argument("--folder", type=Path, help="where the spools are made: on the volume to be measured")
    arguments.add_argument("--assert", action="store_true", dest="hold", help="fail where a promise is not kept")
    arguments.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.measure:
        print(json.dumps(asyncio.run(measure(chosen.measure))))
        return
    print("| messages | identities | open, s | open after a kill, s | resident, MB | lease of 100, µs | next_due, µs |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as scratch:
        for identities in IDENTITIES:
            for messages in chosen.messages:
                figures, unclean = _row(messages, identities, Path(scratch))
                times = (
                    f"{figures.open_s:.2f} | {unclean:.2f} | {figures.resident_mb:.0f} | {figures.lease_us:.0f} | {figures.next_due_us:.0f}"
                )
                print(f"| {messages:,} | {identities:,} | {times} |", flush=True)
                if chosen.hold and (max(figures.open_s, unclean) > ALLOWED * OPEN_SECONDS or figures.resident_mb > ALLOWED * RESIDENT_MB):
                    sys.exit("a promise is not kept: open in 10 s, 400 MB")


if __name__ == "__main__":
    main()
