"""Large bodies, one file each, and the place for damaged ones. Every function here waits for the disk: call them in a thread.

The order of durability of a large body: a temporary file is written, synced, renamed; the folder is synced; only then does the
index get a row for it. So a file without a row is a message that nobody was answered 250 for, and is swept at the start; a row without
a file cannot come about by a crash. After the delivery it is the other way round: the row's removal is on the disk before the file's.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry

LARGE = 256 * 1024
"""Octets above which a body has its own file: measured, below it SQLite is the faster one."""
_UNFINISHED = ".unfinished"


def write(folder: Path, message_id: MessageId, body: bytes) -> None:
    """Make *body* durable in *folder* under its message's name. Raises `OSError`, and then no file is left unless that fails too."""
    unfinished = folder / f"{message_id}{_UNFINISHED}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            _write_all(descriptor, body)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        unfinished.rename(folder / message_id)
        sync_folder(folder)
    except OSError:
        unfinished.unlink(missing_ok=True)
        (folder / message_id).unlink(missing_ok=True)
        raise


def read(folder: Path, message_id: MessageId) -> bytes:
    """Return what the file of *message_id* holds, nothing when it is missing. Raises `OSError`."""
    try:
        return (folder / message_id).read_bytes()
    except FileNotFoundError:
        return b""


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


def set_aside(folder: Path, entry: Entry, octets: bytes) -> None:
    """Keep a damaged body in *folder*, and beside it, as JSON, who sent it to whom. Durable when it returns. Raises `OSError`.

    Both names end in a way that tells them apart; the JSON comes last, so that a pair with one is complete.
    """
    facts = {
        "message_id": entry.id,
        "sender": entry.sender,
        "recipients": [recipient.address for recipient in entry.recipients],
        "accepted_at": entry.accepted_at,
        "size": entry.size,
    }
    for name, content in ((f"{entry.id}.body", octets), (f"{entry.id}.json", json.dumps(facts, indent=2).encode())):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    sync_folder(folder)


def count_aside(folder: Path) -> int:
    """Count the damaged messages in *folder*. Raises `OSError`."""
    return sum(1 for path in folder.iterdir() if path.suffix == ".json")


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, octets: bytes) -> None:
    """Write everything: a single `write` may take less, at 2 GB or on a full disk."""
    view = memoryview(octets)
    while view:
        view = view[os.write(descriptor, view) :]
