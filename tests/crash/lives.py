"""Lives of the real gateway: `smtp-gateway run`, which ends by being killed, from outside or at a step of its own.

A life is forked from a server that has imported the gateway once, because the start of Python costs more than most lives last; `Alone` is
a process from nothing. Both run the command line's `main`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from smtp_gateway import cli
from smtp_gateway.spool import journal, syncing, writer
from smtp_gateway.spool.disk import DiskSpool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from smtp_gateway.spool.api import Settlement

ROOT = Path(__file__).parents[2]
LOG = 512 * 1024
"""Octets of log after which forked lives turn it, so that some are killed while they do."""
_TOLD = ("put", "settle", "defer", "bounce")
_write = os.write


@dataclass(frozen=True, slots=True)
class Fatal:
    """The moment of a process's death: before, after or within a call of the operating system, at a turn of what its spool is told."""

    step: str
    """A function of `os`; or of the spool's port, by what it is told: `put`, `settle`, `defer`, `bounce`."""
    number: int = 1
    when: str = "before"
    behind: str = ""
    """The step that must have begun before calls are counted; empty to count from the start."""

    def __str__(self) -> str:
        """Say it shortly."""
        behind = f" behind {self.behind}" if self.behind else ""
        return f"{self.when} {self.step} {self.number}{behind}"


class Life(Protocol):
    """One process."""

    def kill(self) -> None:
        """Send it SIGKILL."""

    def stop(self) -> None:
        """Send it SIGTERM."""

    def ended(self, within: float) -> int | None:
        """Wait *within* seconds for its end, and return its exit code; None when it lives on."""


class Forked:
    """A life from the server of forks."""

    _context = multiprocessing.get_context("forkserver")
    _context.set_forkserver_preload(["tests.crash.lives"])

    def __init__(self, arguments: Sequence[str], folder: Path, fatal: Fatal | None = None) -> None:
        """Begin in *folder*."""
        self._process = self._context.Process(target=_live, args=(list(arguments), folder, fatal))
        self._process.start()

    def kill(self) -> None:
        """See `Life.kill`."""
        self._process.kill()

    def stop(self) -> None:
        """See `Life.stop`."""
        self._process.terminate()

    def ended(self, within: float) -> int | None:
        """See `Life.ended`."""
        self._process.join(within)
        return self._process.exitcode


class Alone:
    """A life from nothing, as in a pod."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        """Begin in *folder*."""
        with (folder / "log").open("ab") as log:
            line = [sys.executable, "-m", "smtp_gateway", *arguments]
            self._process = subprocess.Popen(line, cwd=folder, stdout=log, stderr=log)

    def kill(self) -> None:
        """See `Life.kill`."""
        self._process.kill()

    def stop(self) -> None:
        """See `Life.stop`."""
        self._process.terminate()

    def ended(self, within: float) -> int | None:
        """See `Life.ended`."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            return None


def _live(arguments: list[str], folder: Path, fatal: Fatal | None) -> None:
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    writer.LOG_HARD = journal.LOG_SOFT = LOG
    if fatal is not None:
        syncing.CALLS.clear()  # a sync that the kernel makes by itself calls nothing that could be fatal
        _Arming(fatal).arm()
    sys.exit(cli.main(arguments))


def _constant(name: str, *_: object) -> str:
    return name


def _kind(settlement: Settlement) -> str:
    return "bounce" if settlement.notice else "defer" if settlement.remaining else "settle"


class _Arming:
    """Counts the calls, and ends the process."""

    def __init__(self, fatal: Fatal) -> None:
        self._fatal = fatal
        self._counts = not fatal.behind
        self._left = fatal.number

    def arm(self) -> None:
        """Stand in for the functions that may be fatal."""
        DiskSpool.settle = self._watched(DiskSpool.settle, lambda _, settlement: _kind(settlement))  # type: ignore[method-assign]  # watched in this process only
        DiskSpool.put = self._watched(DiskSpool.put, lambda *_: "put")  # type: ignore[method-assign]  # watched in this process only
        for name in {self._fatal.step, self._fatal.behind} - {*_TOLD, ""}:
            setattr(os, name, self._watched(getattr(os, name), partial(_constant, name)))

    def _watched(self, real: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        @wraps(real)
        def deadly(*args: Any, **kwargs: Any) -> Any:
            hit = self._hit(name(*args))
            if hit and self._fatal.when == "within":
                _write(args[0], bytes(args[1])[: len(args[1]) // 2])
            if hit and self._fatal.when != "after":
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*args, **kwargs)
            if hit:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return deadly

    def _hit(self, step: str) -> bool:
        if step == self._fatal.step and self._counts:
            self._left -= 1
            return self._left == 0
        self._counts = self._counts or step == self._fatal.behind
        return False
