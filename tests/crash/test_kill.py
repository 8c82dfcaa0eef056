"""The spool's process is killed at each step of durability and at random: nothing acknowledged is lost, nothing is half there.

A kill leaves the page cache, so this is about order and recovery. That each sync is there, and where, is `test_order`'s matter.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.crash.runner import RECIPIENTS, body_of, size_of
from tests.support.messages import whole
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from smtp_gateway.spool.api import Entry

ROOT = Path(__file__).parents[2]
STEPS = [
    *[f"write:{number}:within" for number in (1, 2, 3)],
    *[f"fsync:{number}:{when}" for number in (1, 2, 3, 4) for when in ("before", "after")],
    *[f"rename:{number}:{when}" for number in (1, 2) for when in ("before", "after")],
    *[f"commit:{number}:{when}" for number in (1, 2, 6, 7, 8, 9) for when in ("before", "after")],
    *[f"fdatasync:{number}:{when}" for number in (1, 2, 3, 7, 8, 9, 10) for when in ("before", "after")],
    *[f"unlink:1:{when}" for when in ("before", "after")],
    *[f"turn:1:{when}" for when in ("before", "after")],
    *[f"close:1:{when}" for when in ("before", "after")],
]
KILLS = 12
"""Random kills, each on the spool that the one before it left behind."""


def start(folder: Path, diary: Path, what: str, kill_at: str | None = None) -> subprocess.Popen[bytes]:
    """Start the process that will be killed."""
    environment = {**os.environ} | ({"KILL_AT": kill_at} if kill_at else {})
    command = [sys.executable, "-m", "tests.crash.runner", str(folder), str(diary), what]
    return subprocess.Popen(command, cwd=ROOT, env=environment)


def promises(diary: Path) -> dict[str, str]:
    """Return the last word about each message."""
    lines = diary.read_text().splitlines() if diary.exists() else []
    return {message_id: what for what, message_id in (line.split() for line in lines) if message_id != "-"}


async def found(folder: Path) -> dict[str, Entry]:
    """Open the spool, read every message with its body, and close it."""
    spool = await DiskSpool.open(folder, NullObserver())
    try:
        entries = {str(entry.id): entry for entry in spool.lease(time.time() + 1, 1_000_000)}
        assert spool.depth().messages == len(entries)
        assert spool.depth().damaged == 0
        for message_id in entries:
            assert await whole(await spool.body(MessageId(message_id))) == body_of(message_id, size_of(message_id))
        assert {path.name for path in (folder / "bodies").iterdir()} == {name for name in entries if name.startswith("L")}
        return entries
    finally:
        await spool.close()


def compare(promised: dict[str, str], entries: dict[str, Entry]) -> None:
    """Demand that what was promised holds: acknowledged is there, settled is gone, deferred has its history."""
    both, second = RECIPIENTS, RECIPIENTS[1:]
    allowed: dict[str, set[tuple[str, ...] | None]] = {
        "put": {both},
        "settling": {both, second, None},
        "settled": {None},
        "deferring": {both, second},
        "deferred": {second},
    }
    for message_id, what in promised.items():
        entry = entries.get(message_id)
        owed = tuple(recipient.address for recipient in entry.recipients) if entry else None
        assert owed in allowed[what], f"{message_id}: {what}, found {owed}"


@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_at_each_step_loses_nothing(tmp_path: Path, step: str) -> None:
    """Whatever was acknowledged before the step is there after it, with its body; whatever was settled does not come back."""
    folder, diary = tmp_path / "spool", tmp_path / "diary"
    process = start(folder, diary, "script", step)
    assert process.wait(60) == -signal.SIGKILL, f"{step} was not reached"

    compare(promises(diary), await found(folder))


async def test_without_a_kill_everything_is_as_promised(tmp_path: Path) -> None:
    """The same script to its end: the measure of the others."""
    folder, diary = tmp_path / "spool", tmp_path / "diary"
    assert start(folder, diary, "script").wait(60) == 0

    entries = await found(folder)
    compare(promises(diary), entries)
    assert len(entries) == 10


def test_kills_at_random_under_load_lose_nothing(tmp_path: Path) -> None:
    """One spool, many lives: ten clients and a deliverer at work, killed at some moment, time and again."""
    folder, diary = tmp_path / "spool", tmp_path / "diary"
    chance = random.Random(587)  # noqa: S311 a reproducible choice, not a secret
    for life in range(1, KILLS + 1):
        process = start(folder, diary, "load")
        try:
            eventually_sync(lambda life=life: _lives(diary) == life, within=60, what="the spool to open")  # type: ignore[misc]  # bound now
            time.sleep(chance.uniform(0.0, 0.4))  # the moment of the kill is the point, nothing is waited for
        finally:
            process.kill()
            process.wait()

    compare(promises(diary), asyncio.run(found(folder)))
    assert sum(what == "settled" for what in promises(diary).values()) > 0


def _lives(diary: Path) -> int:
    return diary.read_text().count("open -") if diary.exists() else 0
