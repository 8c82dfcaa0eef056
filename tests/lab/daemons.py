"""
Long-running programs, each known by its own pid file.

A daemon writes its pid file itself, before it becomes the program: at no moment does one run that nobody knows, even when the command
that starts it is killed. The file holds the kernel's line about the process with its start time, so that a pid which the kernel has
since given to somebody else is never taken for ours. What was started is kept beside it, so that a test can kill a daemon and start
it again as it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.shell import LabError
from tests.lab.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Reading within the shell, so that "self" is the process that becomes the daemon.
_LAUNCH = 'read -r stat </proc/self/stat; echo "$stat" >"$0"; exec "$@"'
_START_TIME = 19  # counted after the name in parentheses, which may hold anything
_END_SECONDS = 10


@dataclass(frozen=True)
class Daemon:
    """A program of the cluster, in the network namespace of its node."""

    name: str
    namespace: str
    command: tuple[str, ...]


def flags(**values: object) -> tuple[str, ...]:
    """Write keyword arguments as a Go program's flags: `data_dir=x` is `--data-dir=x`."""
    return tuple(f"--{name.replace('_', '-')}={_flag(value)}" for name, value in values.items())


def start(run: Path, daemon: Daemon) -> None:
    """Start a daemon apart from this process and its terminal, its output in its log."""
    _file(run, daemon.name, "json").parent.mkdir(parents=True, exist_ok=True)
    log_file(run, daemon.name).parent.mkdir(parents=True, exist_ok=True)
    _file(run, daemon.name, "pid").unlink(missing_ok=True)
    _file(run, daemon.name, "json").write_text(json.dumps(asdict(daemon)))
    # nsenter, not 'ip netns exec': that would hide the cgroup mounts.
    enter = ["nsenter", f"--net=/run/netns/{daemon.namespace}", "--", *daemon.command]
    with log_file(run, daemon.name).open("a") as log:
        subprocess.Popen(
            ["sh", "-c", _LAUNCH, _file(run, daemon.name, "pid"), *enter],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wait_until(lambda: _file(run, daemon.name, "pid").exists(), 5, f"{daemon.name} to write its pid")


def restart(run: Path, name: str) -> None:
    """Start a daemon again as it was; one that still runs is ended first."""
    stop(run, name)
    stored = json.loads(_file(run, name, "json").read_text())
    start(run, Daemon(stored["name"], stored["namespace"], tuple(stored["command"])))


def stop(run: Path, name: str, how: signal.Signals = signal.SIGKILL) -> None:
    """Send a daemon a signal, if it is still the process we started, and wait for its end."""
    pid = find_pid(run, name)
    if pid is not None:
        os.kill(pid, how)
        wait_until(lambda: find_pid(run, name) is None, _END_SECONDS, f"{name} (pid {pid}) to end")
    _file(run, name, "pid").unlink(missing_ok=True)


def forget(run: Path, name: str) -> None:
    """Forget a daemon that was ended for good."""
    _file(run, name, "pid").unlink(missing_ok=True)
    _file(run, name, "json").unlink(missing_ok=True)


def find_pid(run: Path, name: str) -> int | None:
    """Give the pid of a daemon that is alive and ours, else nothing."""
    try:
        pid, _, started = _parse(_file(run, name, "pid").read_text())
        _, _, started_now = _parse(Path(f"/proc/{pid}/stat").read_text())
    except (OSError, ValueError):
        return None
    return pid if started == started_now and _has_threads(pid) else None


def _has_threads(pid: int) -> bool:
    """Tell whether a thread of a process runs. The first one may have ended before the others, and the last one gives the ports back."""
    states = []
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError, ValueError):
            states.append(_parse(thread.read_text())[1])
    return any(state not in "ZX" for state in states)


def all_names(run: Path) -> list[str]:
    """List the daemons that were ever started in this cluster."""
    return sorted(path.stem for path in (run / "daemons").glob("*.json"))


def require_alive(run: Path) -> bool:
    """Raise when a daemon is dead, with its log: waiting longer would not help."""
    for name in all_names(run):
        if find_pid(run, name) is None:
            sentence = f"{name} has died."
            raise LabError(sentence, log=log_file(run, name))
    return True


def log_file(run: Path, name: str) -> Path:
    """Give the path of a daemon's log."""
    return run / "log" / f"{name}.log"


def find_processes(*needles: str) -> Iterator[int]:
    """Find processes whose command line holds all of these words or parts of words."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if all(needle in line for needle in needles) and int(folder.name) != os.getpid():
            yield int(folder.name)


def find_rooted(folder: Path) -> Iterator[int]:
    """Find processes that live in a folder as their root."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "root").readlink() == folder:
                yield int(process.name)


def end_processes(find: Callable[[], Iterator[int]]) -> None:
    """Kill all processes that are found, until none is found any more."""

    def none_left() -> bool:
        pids = list(find())
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    wait_until(none_left, _END_SECONDS, "killed processes to end")


def _file(run: Path, name: str, suffix: str) -> Path:
    return run / "daemons" / f"{name}.{suffix}"


def _flag(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse(stat: str) -> tuple[int, str, str]:
    """Split the kernel's line about a process into pid, state and start time."""
    pid, _, rest = stat.partition(" ")
    fields = rest.rpartition(")")[2].split()
    if len(fields) <= _START_TIME:
        sentence = "incomplete pid file"
        raise ValueError(sentence)
    return int(pid), fields[0], fields[_START_TIME]
