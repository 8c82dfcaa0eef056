"""The machine that measures: what it is, which programs it has, and how much of its processors went elsewhere."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from bench import debian, interpreter
from bench.tools import HARAKA
from smtp_gateway import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.tools import Tools

TICK = os.sysconf("SC_CLK_TCK")
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Ticks:
    """Seconds of all cores since the machine started, from the first line of /proc/stat (proc(5))."""

    busy: float
    idle: float
    steal: float

    def __sub__(self, earlier: Ticks) -> Ticks:
        """Return what has passed since *earlier*."""
        return Ticks(self.busy - earlier.busy, self.idle - earlier.idle, self.steal - earlier.steal)

    @property
    def steal_percent(self) -> float:
        """Return the share of the time that the hypervisor gave to others."""
        return 100 * self.steal / max(self.busy + self.idle + self.steal, 1 / TICK)


def ticks(text: str | None = None) -> Ticks:
    """Return the seconds so far, or those in *text*, which is like /proc/stat."""
    line = (text or Path("/proc/stat").read_text()).splitlines()[0]
    user, nice, system, idle, waiting, hard, soft, steal = (int(value) / TICK for value in line.split()[1:9])
    return Ticks(user + nice + system + hard + soft, idle + waiting, steal)


def facts(tools: Tools, relays: Sequence[str]) -> dict[str, str]:
    """Return what a reader of the results has to know, with the versions of *relays*."""
    found = {
        "cores": str(os.cpu_count()),
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "disk": _said("stat", "--file-system", "--format=%T", str(tools.cache)),
        "python": interpreter.told(tools.python),
        "go": _said("go", "env", "GOVERSION"),
    }
    return found | {name: _VERSIONS[name](tools) for name in relays}


_VERSIONS: dict[str, Callable[[Tools], str]] = {
    "gateway": lambda _: f"{__version__} at {_said('git', '-C', str(_HERE), 'describe', '--always', '--dirty')}",
    "aiosmtpd": lambda _: f"{metadata.version('aiosmtpd')}, unmodified, on uvloop {metadata.version('uvloop')}",
    "postfix": lambda tools: debian.version(tools.cache, "postfix"),
    "exim": lambda tools: debian.version(tools.cache, "exim4-daemon-light"),
    "haraka": lambda _: f"{HARAKA} on Node.js {_said('node', '--version')}",
}


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def _field(path: str, name: str) -> str:
    """Return the first value of *name* in a file of lines like `name: value`; empty when it has none."""
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")
