"""Large bodies, one file each, and the place for damaged ones. Every function here waits for the disk: call them in a thread.

The order of durability of a large body: an unfinished file is written, synced, renamed; the folder is synced; only then does the
index get a row for it. So a file without a row is a message that nobody was answered 250 for, and is swept at the start; a row without
a file cannot come about by a crash. After the delivery it is the other way round: the row's removal is on the disk before the file's.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from smtp_gateway.spool.checksum import checksum

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry

LARGE = 256 * 1024
"""Octets above which a body has its own file: measured, below it SQLite is the faster one."""
BLOCK = 240 * 1024
"""Octets of a file that are read at once; less than what the allocator maps for itself (`smtp_gateway.allocator`)."""
HEADERS = 64 * 1024
"""Octets of a body that are read for its header section; Postfix keeps as much (header_size_limit is 102,400 for one header)."""
UNFINISHED = ".unfinished"
"""How the name of a file ends that nobody was answered for."""


class Unfinished:
    """A body's file while it comes into being. Used by one thread at a time."""

    def __init__(self, folder: Path, message_id: MessageId) -> None:
        """Prepare the file of *message_id*; nothing is made before the first call."""
        self._folder = folder
        self._path = folder / f"{message_id}{UNFINISHED}"
        self._finished = folder / message_id
        self._descriptor = -1
        self._made = False
        """Whether the unfinished file is this one's own; another's of the same name is left alone."""
        self.checksum = 0
        """Of what was written."""

    def write(self, blocks: Iterable[bytes]) -> None:
        """Append *blocks*. Raises `OSError`."""
        self._open()
        for block in blocks:
            _write_all(self._descriptor, block)
            self.checksum = checksum(block, self.checksum)

    def finish(self) -> None:
        """Make the body durable under its message's name. Raises `OSError`, and then no file is left unless that fails too."""
        try:
            self._open()
            os.fsync(self._descriptor)
            self._close()
            self._publish()
        except OSError:
            self.remove()
            raise

    def remove(self) -> None:
        """Let go of the file, if it was made at all. What cannot be removed now, the next start sweeps."""
        if self._made:
            with suppress(OSError):
                self._close()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _open(self) -> None:
        if not self._made:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._made = True

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _publish(self) -> None:
        if self._finished.exists():  # another message's body, which a rename would replace
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._path.rename(self._finished)
        try:
            sync_folder(self._folder)
        except OSError:
            self._finished.unlink(missing_ok=True)
            raise


def beginning(path: Path) -> tuple[bytes, int]:
    """Return the first `HEADERS` octets of a body's file and how many it has; nothing when it is missing. Raises `OSError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b"", 0
    try:
        return os.pread(descriptor, HEADERS, 0), os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def remove(folder: Path, message_id: MessageId) -> None:
    """Remove a file whose row is gone. If that cannot be done now, the next start sweeps it."""
    with suppress(OSError):
        (folder / message_id).unlink(missing_ok=True)


def sweep(folder: Path, known: Collection[str]) -> int:
    """Remove every file that has no row, unfinished ones included; return how many. Raises `OSError`."""
    strangers = [path for path in folder.iterdir() if path.name not in known]
    for path in strangers:
        path.unlink()
    return len(strangers)


def sweep_unfinished(folder: Path) -> None:
    """Remove the files that were not finished: nobody was answered for any of them. Raises `OSError`."""
    for path in folder.glob(f"*{UNFINISHED}"):
        path.unlink()


def set_aside(folder: Path, entry: Entry, body: bytes | Path) -> None:
    """Keep a damaged body in *folder*, and beside it, as JSON, who sent it to whom. Durable when it returns. Raises `OSError`.

    Both names end in a way that tells them apart; the JSON comes last, so that a pair with one is complete. A file gets a second name
    there and no copy, so a crash in between changes nothing and a full disk does not matter.
    """
    facts = {
        "message_id": entry.id,
        "sender": entry.sender,
        "recipients": [recipient.address for recipient in entry.recipients],
        "accepted_at": entry.accepted_at,
        "size": entry.size,
    }
    aside = folder / f"{entry.id}.body"
    if isinstance(body, bytes):
        _keep(aside, body)
    else:
        _keep_file(aside, body)
    _keep(folder / f"{entry.id}.json", json.dumps(facts, indent=2).encode())
    sync_folder(folder)


def count_aside(folder: Path) -> int:
    """Count the damaged messages in *folder*, and those that were lost with a damaged index as far as they can be told. Raises `OSError`."""
    alone = sum(1 for path in folder.iterdir() if path.suffix == ".json")
    return alone + sum(map(_count_lost, folder.glob("index-*/summary.json")))


def _count_lost(summary: Path) -> int:
    try:
        lost = json.loads(summary.read_bytes())
        return len(lost["incomplete"]) + int(lost["unreadable"]) + int(lost["body_files"])
    except (ValueError, KeyError, TypeError):
        return 1


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep_file(aside: Path, path: Path) -> None:
    try:
        aside.hardlink_to(path)
    except FileExistsError:  # a crash came between this and the removal of the row
        return
    except FileNotFoundError:
        _keep(aside, b"")


def _write_all(descriptor: int, octets: bytes) -> None:
    """Write everything: a single `write` may take less, at 2 GB or on a full disk."""
    view = memoryview(octets)
    while view:
        view = view[os.write(descriptor, view) :]
