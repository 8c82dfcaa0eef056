"""Programs that serve until the test is over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from bench.processes import end
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PATIENCE = 30.0


@contextmanager
def daemon(command: Sequence[str], folder: Path, place: tuple[str, int], environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run *command* until the end, with its output in *folder*; entered when it takes connections at *place*."""
    log = folder / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | (environment or {}), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        eventually_sync(lambda: process.poll() is not None or _takes(place), PATIENCE, f"{command[0]} takes connections")
        assert process.poll() is None, log.read_text(errors="replace")
        yield
    finally:
        _end(process)


def _takes(place: tuple[str, int]) -> bool:
    with suppress(OSError), socket.create_connection(place, timeout=1):
        return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, and whatever is left of its session."""
    end(process)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
