"""The spool's folder: its layout, the lock that keeps a second process out, and what the volume beneath has left.

```
ballast        room held for a full volume (smtp_gateway.spool.ballast)
spool.lock     flock while a process uses the spool; its content means nothing
index.db       SQLite: messages, recipients, bodies up to 256 KB (smtp_gateway.spool.schema), with index.db-wal beside it; removed by a
               clean stop with an empty queue
bodies/        larger bodies, one file each (smtp_gateway.spool.bodies)
awake          when a process last had it, in seconds since the epoch (smtp_gateway.waking)
sent           what was sent in the last 24 hours on routes that have a budget of a day (smtp_gateway.daybook)
damaged/       what was moved aside: a body as it was found, and a JSON file that says whose it was; damaged indexes in folders with a date
salvaging/     a damaged index while it is salvaged (smtp_gateway.spool.salvage)
```
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.spool import ballast, bodies
from smtp_gateway.spool.api import SpoolUnavailableError
from smtp_gateway.spool.room import Volume

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Folder:
    """A claimed spool folder."""

    path: Path
    lock: int
    """The descriptor that holds the lock; closing it gives the folder up."""

    @property
    def index(self) -> Path:
        """The index."""
        return self.path / "index.db"

    @property
    def log(self) -> Path:
        """The index's write-ahead log."""
        return self.path / "index.db-wal"

    @property
    def bodies(self) -> Path:
        """Where large bodies are."""
        return self.path / "bodies"

    @property
    def damaged(self) -> Path:
        """Where damaged bodies are kept."""
        return self.path / "damaged"

    @property
    def salvaging(self) -> Path:
        """Where a damaged index is while it is salvaged."""
        return self.path / "salvaging"

    @property
    def ballast(self) -> Path:
        """What holds room for a full volume."""
        return self.path / "ballast"

    def volume(self) -> Volume:
        """Ask the file system what is left. Raises `OSError`; on a network volume it may wait, so it belongs in a thread."""
        found = os.statvfs(self.path)
        octets = found.f_frsize
        return Volume(found.f_blocks * octets, found.f_bavail * octets, ballast.held(self.ballast), bool(found.f_flag & os.ST_RDONLY))

    def give_up(self) -> None:
        """Let another process have the folder."""
        os.close(self.lock)


def claim(path: Path) -> Folder:
    """Create what is missing in *path* and lock it for this process. Raises `SpoolUnavailableError` with a sentence that says why not."""
    try:
        _make(path)
        for part in ("bodies", "damaged"):
            (path / part).mkdir(mode=0o700, exist_ok=True)
        lock = os.open(path / "spool.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        message = f"the spool folder {path} cannot be used: {fault.strerror or fault}"
        raise SpoolUnavailableError(message) from fault
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(lock)
        message = f"the spool folder {path} is in use by another process"
        raise SpoolUnavailableError(message) from fault
    return Folder(path, lock)


def _make(path: Path) -> None:
    """Make *path* with its parents, so that a power cut cannot take the whole spool away with a name that was never synced.

    Each name is synced before anything is made beneath it. The lowest folder that exists may be one that an earlier start made and
    was killed before it could sync; where it is not ours to sync (a mount, a parent that may not be read), whoever made it did that.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    lowest = missing[-1].parent if missing else path
    with suppress(OSError):
        bodies.sync_folder(lowest.parent)
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        bodies.sync_folder(folder.parent)
