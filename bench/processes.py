"""The processes of a relay as one control group: what they use, and their end.

A group counts what the tree of processes cannot: Exim's deliveries leave their parents, which do not wait for them either.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SAMPLE = 0.25
"""Seconds between two looks at the memory; each look costs processor time for every process of the relay."""
PATIENCE = 30.0
"""Seconds that anything here may take to begin or to end."""
_ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
"""A shell that enters the group of its first argument and becomes the rest: what it starts is born in the group."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What all processes of a relay hold, in octets."""

    rss: int = 0
    """Shared pages count once for each process."""
    pss: int = 0
    """Shared pages are divided by those who share them."""


class Group:
    """A control group (cgroups(7), version 1 with its cpuacct, or version 2) with what one relay started."""

    def __init__(self, root: Path = Path("/sys/fs/cgroup")) -> None:
        """Make a group; the bench's own process has none, so that this one counts the relay only."""
        counter = root / "cpuacct"
        self._old = counter.is_dir()
        self._folder = (counter if self._old else root) / f"smtp-gateway-bench-{os.getpid()}"
        self._folder.mkdir(exist_ok=True)

    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start *command* in the group, its output in *log*."""
        with log.open("wb") as output:
            whole = ["sh", "-c", _ENTER, str(self._folder), *command]
            return subprocess.Popen(whole, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def pids(self) -> list[int]:
        """Return the processes that are alive."""
        return [int(line) for line in (self._folder / "cgroup.procs").read_text().split()]

    def cpu_seconds(self) -> float:
        """Return the processor time of all that ever ran in the group, user and system."""
        if self._old:
            return int((self._folder / "cpuacct.usage").read_text()) / 1e9
        return cpu_stat((self._folder / "cpu.stat").read_text())

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End *process*, with SIGTERM if that helps, and then what is left of the group."""
        end(process)
        until(self._empty, "the group is empty")
        self._folder.rmdir()

    def _empty(self) -> bool:
        pids = self.pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids


def cpu_stat(text: str) -> float:
    """Return the seconds in a group's cpu.stat."""
    return int(dict(line.split() for line in text.splitlines())["usage_usec"]) / 1e6


def memory(pids: Sequence[int]) -> Memory:
    """Return what these processes hold now."""
    sums = {"Rss": 0, "Pss": 0}
    for pid in pids:
        for name, octets in _sizes(pid, "smaps_rollup").items():
            if name in sums:
                sums[name] += octets
    return Memory(sums["Rss"], sums["Pss"])


def high_water(pids: Sequence[int]) -> int:
    """Return the sum of the most that each of these processes ever held (VmHWM), in octets: the kernel's own figure, without gaps."""
    return sum(_sizes(pid, "status").get("VmHWM", 0) for pid in pids)


def _sizes(pid: int, name: str) -> dict[str, int]:
    """Return the sizes in a file of /proc/PID, in octets; none when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
    except OSError:
        return {}
    parts = (line.replace(":", " ").split() for line in lines if line.endswith(" kB"))
    return {part[0]: int(part[1]) * 1024 for part in parts}


class Peak:
    """The most that the processes of a group held between the beginning and the end of a context."""

    def __init__(self, group: Group) -> None:
        """Watch *group*."""
        self._group = group
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most = Memory()

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, with a last look: a short load is over before the first."""
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE):
            self._look()

    def _look(self) -> None:
        now = memory(self._group.pids())
        self.most = Memory(max(self.most.rss, now.rss), max(self.most.pss, now.pss))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, by SIGTERM, and by SIGKILL when that does not help."""
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
