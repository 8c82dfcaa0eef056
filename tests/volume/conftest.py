"""Real volumes: each a file system of its own, in a mount namespace of this process.

When the process ends, by whatever, so do its mounts, and the loop devices beneath them.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.crash.around import NextHop
from tests.crash.conftest import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["quiet"]

_PROGRAMS = {"mkfs.ext4": "e2fsprogs", "e2fsck": "e2fsprogs", "mount": "mount", "findmnt": "util-linux", "fstrim": "util-linux"}
"""Debian's packages for what the tests run."""
_NEW_MOUNTS = 0x00020000
_FOLLOWING = 0x80000 | 0x4000
"""MS_SLAVE and MS_REC: what the machine unmounts is unmounted here too, and nothing of ours is seen there."""


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """Install what is missing to make file systems, as the lab does with what it is made of."""
    missing = {package for program, package in _PROGRAMS.items() if shutil.which(program) is None}
    if missing:
        wait = ("apt-get", "--option=DPkg::Lock::Timeout=300")
        subprocess.run([*wait, "update"], check=True, capture_output=True)
        subprocess.run([*wait, "install", "--yes", "--no-install-recommends", *sorted(missing)], check=True, capture_output=True)


@pytest.fixture(scope="session", autouse=True)
def own_mounts() -> None:
    """Leave the mount namespace of the machine (unshare(2), which Python has from 3.12 on); needs root."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) or libc.mount(None, b"/", None, _FOLLOWING, None):
        fault = ctypes.get_errno()
        raise OSError(fault, os.strerror(fault))


@pytest.fixture
def hop(tmp_path: Path) -> Iterator[NextHop]:
    """A next hop that is away.

    Its port is none of those that the system gives to connections: while nobody listens there, one of them could get it, and even be
    connected with itself.
    """
    with NextHop(tmp_path / "hop", random.randrange(10_000, 30_000)) as hop:  # noqa: S311 any port
        hop.away()
        yield hop
