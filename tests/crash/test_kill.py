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

import pytest

from tests.crash.promises import compare, found
from tests.support.waiting import eventually_sync

ROOT = Path(__file__).parents[2]
STEPS = [
    *[f"write:{number}:within" for number in (1, 2, 3)],
    *[f"fsync:{number}:{when}" for number in (1, 2, 3, 4, 5, 6) for when in ("before", "after")],
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


def said(diary: Path) -> list[str]:
    """Return what was promised about messages."""
    return [line for line in diary.read_text().splitlines() if line != "open"] if diary.exists() else []


@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_at_each_step_loses_nothing(tmp_path: Path, step: str) -> None:
    """Whatever was acknowledged before the step is there after it, with its body; whatever was settled does not come back."""
    folder, diary = tmp_path / "spool", tmp_path / "diary"
    process = start(folder, diary, "script", step)
    assert process.wait(60) == -signal.SIGKILL, f"{step} was not reached"

    compare(said(diary), await found(folder))


async def test_without_a_kill_everything_is_as_promised(tmp_path: Path) -> None:
    """The same script to its end: the measure of the others."""
    folder, diary = tmp_path / "spool", tmp_path / "diary"
    assert start(folder, diary, "script").wait(60) == 0

    entries = await found(folder)
    compare(said(diary), entries)
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

    compare(said(diary), asyncio.run(found(folder)))
    assert any(line.startswith("settled ") for line in said(diary))


def _lives(diary: Path) -> int:
    return diary.read_text().splitlines().count("open") if diary.exists() else 0
