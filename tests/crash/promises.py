"""What a spool owes, as a diary of words, and what is found in it: the two are compared after every kill and every power cut.

The words: `put ID` once a put has returned; `settling ID`, `deferring ID`, `bouncing ID NOTICE` before a settlement; `settled`, `deferred`,
`bounced` once it has returned.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.messages import whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from smtp_gateway.spool.api import Entry

SMALL, LARGE = 3_000, 300_000
RECIPIENTS = ("a@x.example", "b@x.example")
SENDER = "me@here.example"
_BOTH, _SECOND, _RETURNED = RECIPIENTS, RECIPIENTS[1:], (SENDER,)
_ALLOWED: dict[str, set[tuple[str, ...] | None]] = {
    "put": {_BOTH},
    "settling": {_BOTH, _SECOND, _RETURNED, None},
    "settled": {None},
    "deferring": {_BOTH, _SECOND},
    "deferred": {_SECOND},
    "bouncing": {_BOTH, _SECOND, None},
    "bounced": {None},
}
"""Who may be owed a message by the last word about it; None when it may be gone."""


def body_of(message_id: str, size: int) -> bytes:
    """Return the body of a message: its own, so that no other's can be taken for it."""
    line = hashlib.sha256(message_id.encode()).hexdigest().encode() + b"\r\n"
    return line * (size // len(line)) + b".\r\n"


def size_of(message_id: str) -> int:
    """Return the size that a message's name stands for."""
    return LARGE if message_id.startswith("L") else SMALL


async def found(folder: Path) -> dict[str, Entry]:
    """Open the spool, read every message with its body, and close it. Nothing in it may be half there."""
    spool = await DiskSpool.open(folder, NullObserver())
    try:
        entries = {str(entry.id): entry for entry in spool.lease(time.time() + 1, 1_000_000)}
        assert spool.depth().messages == len(entries)
        assert spool.depth().damaged == 0
        for message_id in entries:
            assert await whole(await spool.body(MessageId(message_id))) == body_of(message_id, size_of(message_id))
        assert {path.name for path in (folder / "bodies").iterdir()} == {name for name in entries if name.startswith("L")}
    finally:
        await spool.close()
    with closing(sqlite3.connect(folder / "index.db")) as index:
        assert index.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return entries


def compare(lines: Iterable[str], entries: dict[str, Entry]) -> None:
    """Demand that what the diary's *lines* promise holds: acknowledged is there, settled is gone, and of a message and its bounce there is one."""
    words = [line.split() for line in lines]
    last = {said[1]: said for said in words}
    for message_id, said in last.items():
        entry = entries.get(message_id)
        owed = tuple(recipient.address for recipient in entry.recipients) if entry else None
        assert owed in _ALLOWED[said[0]], f"{message_id}: {said[0]}, found {owed}"
        if len(said) > 2 and said[2] not in last:
            assert (said[2] in entries) == (owed is None), f"{message_id} was returned as {said[2]}: owed {owed}"
