"""What a spool owes, as a diary of words, and what is found in it: the two are compared after every kill and every power cut.

The words: `put ID` once a put has returned; `settling ID`, `deferring ID`, `bouncing ID NOTICE` before a settlement; `settled`, `deferred`,
`bounced` once it has returned. `damaging ID` before a body is damaged on the disk, `aside ID` once the spool has found that out.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.mail.body import DamagedBodyError
from smtp_gateway.spool.api import Settlement
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver
from tests.support.messages import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
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
    "damaging": {_BOTH, None},
    "aside": {None},
}
"""Who may be owed a message by the last word about it; None when it may be gone."""


def body_of(message_id: str, size: int) -> bytes:
    """Return the body of a message: its own, so that no other's can be taken for it."""
    line = hashlib.sha256(message_id.encode()).hexdigest().encode() + b"\r\n"
    return line * (size // len(line)) + b".\r\n"


def size_of(message_id: str) -> int:
    """Return the size that a message's name stands for."""
    return LARGE if message_id.startswith("L") else SMALL


@dataclass(frozen=True, slots=True)
class Found:
    """What a spool holds."""

    entries: Mapping[str, Entry]
    aside: frozenset[str]
    """Messages whose bodies were damaged, and that were moved aside."""


async def found(folder: Path) -> Found:
    """Open the spool, read every message with its body, and close it. Nothing in it may be half there."""
    spool = await DiskSpool.open(folder, NullObserver())
    entries: dict[str, Entry] = {}
    try:
        for entry in spool.lease(time.time() + 1, 1_000_000):
            try:
                assert await whole(await spool.body(entry.id)) == body_of(entry.id, size_of(entry.id))
            except DamagedBodyError:
                await spool.settle(Settlement(entry.id, entry.recipients))
                continue
            assert all(recipient.warned is bool(recipient.attempts) for recipient in entry.recipients)
            entries[entry.id] = entry
        depth = spool.depth()
    finally:
        await spool.close()
    assert (folder / "index.db").exists() == bool(entries), "an index is left for those messages that there are"
    if entries:
        with closing(sqlite3.connect(folder / "index.db")) as index:
            assert index.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert {path.name for path in (folder / "bodies").iterdir()} == {name for name in entries if name.startswith("L")}
    aside = frozenset(path.stem for path in (folder / "damaged").glob("*.json"))
    assert (depth.messages, depth.damaged) == (len(entries), len(aside))
    return Found(entries, aside)


def compare(lines: Iterable[str], there: Found) -> None:
    """Demand that what the diary's *lines* promise holds.

    Acknowledged is there, settled is gone, of a message and its bounce there is one, and what is damaged is kept aside, and nothing else.
    """
    words = [line.split() for line in lines]
    last = {said[1]: said for said in words}
    for message_id, said in last.items():
        entry = there.entries.get(message_id)
        owed = tuple(recipient.address for recipient in entry.recipients) if entry else None
        assert owed in _ALLOWED[said[0]], f"{message_id}: {said[0]}, found {owed}"
        if said[0] in {"damaging", "aside"}:
            assert (message_id in there.aside) == (owed is None), f"{message_id} was damaged: owed {owed}"
        if len(said) > 2 and said[2] not in last:
            assert (said[2] in there.entries) == (owed is None), f"{message_id} was returned as {said[2]}: owed {owed}"
    assert there.aside <= {name for name, said in last.items() if said[0] in {"damaging", "aside"}}
