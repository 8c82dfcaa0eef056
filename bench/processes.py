"""Processes of a relay: what they use, and their end."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = os.sysconf("SC_CLK_TCK")
SAMPLE = 0.1
"""Seconds between two looks at the memory."""
PATIENCE = 30.0
"""Seconds that anything here may take to begin or to end."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What all processes of a relay hold, in octets."""

    rss: int = 0
    """Shared pages count once for each process."""
    pss: int = 0
    """Shared pages are divided by those who share them."""


def tree(root: int) -> list[int]:
    """Return *root* and all its descendants that are alive."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := stat_fields(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += parents.get(pid, [])
    return found


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (proc(5), field 3); empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(root: int) -> float:
    """Return the processor time of *root* and its descendants, those that have ended and were waited for included."""
    return sum(sum(map(int, fields[11:15])) for pid in tree(root) if (fields := stat_fields(pid))) / TICK


def memory(root: int) -> Memory:
    """Return what *root* and its descendants hold now."""
    sums = {"Rss": 0, "Pss": 0}
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name in sums:
                sums[name] += int(value.split()[0]) * 1024
    return Memory(sums["Rss"], sums["Pss"])


class Peak:
    """The most that a relay held between the beginning and the end of a context."""

    def __init__(self, root: int) -> None:
        """Watch *root* and its descendants."""
        self._root = root
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most = Memory()

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE):
            now = memory(self._root)
            self.most = Memory(max(self.most.rss, now.rss), max(self.most.pss, now.pss))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, with its descendants: by SIGTERM, and by SIGKILL when that does not help."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until *condition* holds. Raises `TimeoutError`."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            message = f"{what}: not within {PATIENCE:g} s"
            raise TimeoutError(message)
        time.sleep(0.01)
