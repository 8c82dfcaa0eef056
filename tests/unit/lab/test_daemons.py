"""Processes of the lab, as the kernel knows them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import daemons
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

_HALF_ENDED = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@contextmanager
def half_ended(run: Path) -> Iterator[int]:
    """Run a daemon whose first thread has ended and whose second has not."""
    process = subprocess.Popen([sys.executable, "-c", _HALF_ENDED])
    try:
        stat = Path(f"/proc/{process.pid}/stat")
        eventually_sync(lambda: " Z " in stat.read_text(), within=10, what="the first thread ends")
        (run / "daemons").mkdir(parents=True)
        (run / "daemons" / "half.pid").write_text(stat.read_text())
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_a_daemon_lives_as_long_as_one_of_its_threads(tmp_path: Path) -> None:
    """A killed program holds its port until its last thread is gone, which may be after the first: until then it has not ended."""
    with half_ended(tmp_path) as pid:
        assert daemons.find_pid(tmp_path, "half") == pid
    assert daemons.find_pid(tmp_path, "half") is None
