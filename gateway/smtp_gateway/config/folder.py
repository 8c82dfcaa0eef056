"""Noticing that a folder of mounted files changed.

The kubelet refreshes a mounted Secret by pointing the symbolic link `..data` at a new folder, in one step; an editor or `cp` changes the
files themselves. Both show in the device, inode, size and modification time of the files behind the links, which cost one `stat` each.
Polling, because inotify watches inodes and would have to be set up anew at each swap; the calls run in a thread.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Fingerprint = frozenset[tuple[str, int, int, int, int]]
"""Name, device, inode, size and modification time (ns) of each file, links followed."""


def fingerprint(folder: Path) -> Fingerprint:
    """Return what distinguishes the folder's files from other ones; empty when there is no such folder. Blocks on the disk."""
    try:
        return frozenset(_identity(path) for path in folder.iterdir() if not path.name.startswith("..") and path.is_file())
    except OSError:
        # In the middle of a swap a file may be gone between listing and stat: the next look sees the new one.
        return frozenset()


def _identity(path: Path) -> tuple[str, int, int, int, int]:
    seen = path.stat()
    return (path.name, seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns)


async def changes(folder: Path, interval: float, since: Fingerprint | None = None) -> AsyncIterator[Fingerprint]:
    """Yield the folder's fingerprint each time it differs from the one before, looking every *interval* seconds, for ever.

    The first comparison is with *since*, which whoever read the folder took before; with None the first look counts as a change.
    """
    last = since
    while True:
        seen = await asyncio.to_thread(fingerprint, folder)
        if seen != last:
            last = seen
            yield seen
        await asyncio.sleep(interval)
