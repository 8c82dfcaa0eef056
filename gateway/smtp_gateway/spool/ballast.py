"""Blocks of the volume that the spool holds for when there are no others: a file that is allocated and never written to.

Removing it is the one thing that makes room on a full volume without writing anything. Its content means nothing, and it needs no sync: after
a crash it is made again. Every function here waits for the disk: call them in a thread.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.spool.bodies import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

_log = structlog.get_logger()
_BLOCK = 512
"""Octets of a block as `stat` counts them, whatever those of the file system are."""


def held(path: Path) -> int:
    """Return the octets that are held at *path*."""
    try:
        return path.stat().st_blocks * _BLOCK
    except OSError:
        return 0


def hold(path: Path, octets: int) -> None:
    """Hold *octets* at *path*, no more and no less; nothing when the volume does not have them."""
    try:
        if path.exists() and path.stat().st_size == octets:
            return  # where blocks are compressed away, none will ever be held
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, octets)
            os.ftruncate(descriptor, octets)
        finally:
            os.close(descriptor)
    except OSError:
        give_up(path)


def give_up(path: Path) -> bool:
    """Hold nothing any more; tell whether that made room."""
    octets = held(path)
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    if octets:
        _log.warning("volume full: ballast given up", octets=octets)
        with suppress(OSError):  # some file systems have the blocks only once the removal is on the disk
            sync_folder(path.parent)
    return octets > 0
