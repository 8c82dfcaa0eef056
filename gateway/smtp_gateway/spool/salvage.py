"""A damaged index: what is whole moves into a new one, everything else is kept under `damaged/` and counted, never dropped.

Steps, each of which may be the last before a crash; the next start goes on (`resume`):

1. the log and the index move into `salvaging/`;
2. `index.new` is filled with every message whose rows can be read and whose body is whole, and synced;
3. body files that have no row in it move into `salvaging/bodies/`: the row may be what was lost;
4. `index.new` becomes the index;
5. `salvaging/` becomes `damaged/index-DATE/`, with the numbers in `summary.json`.

Rows are read as SQLite finds them, in ever smaller ranges around what it cannot read. What it holds for free space is not looked at: mail
that was delivered must not come back. Waits for the disk; no event loop.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from smtp_gateway.spool import bodies, schema
from smtp_gateway.spool.checksum import checksum
from smtp_gateway.spool.damage import readable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from smtp_gateway.spool.folder import Folder

_log = structlog.get_logger()

_ROWS = 500
"""Rows read at once: what one unreadable page makes the ranges divide again."""
_PROBES = 20_000
"""Ranges that may turn out unreadable before the rest is given up: a tree whose root is gone must not be searched for ever."""
_HIGHEST = 1 << 22
"""The highest number to look for when no table can tell it."""
_MESSAGE = (
    *("number", "id", "sender", "accepted_at", "next_attempt", "size", "smtputf8", "body_8bit", "identity", "checksum", "in_file"),
    *("held", "history", "dsn", "requiretls"),
)
_RECIPIENT = ("message", "position", "address", "attempts", "last_reply", "next_attempt", "warned")
_HISTORY = ("message", "number", "first", "last", "times", "event", "hop", "reply", "recipients")
_ABSENT = {"held": 0, "history": 0, "next_attempt": 0.0, "dsn": "", "warned": 0, "requiretls": 0}
"""What older versions did not have."""


@dataclass(slots=True)
class Summary:
    """What a salvage came to."""

    salvaged: int = 0
    incomplete: list[str] = field(default_factory=list)
    """Messages whose row can be read and that are not whole."""
    unreadable: int = 0
    """Messages whose row cannot be read, as far as their recipients or bodies tell of them."""
    body_files: int = 0
    """Body files without a row."""


def resume(folder: Folder) -> None:
    """Finish a salvage that was interrupted, and begin one where the index is missing although there is mail. Raises `OSError`, `sqlite3.Error`."""
    if folder.salvaging.exists():
        if (folder.salvaging / "index.db").exists() and folder.index.exists():
            _finish(folder)
        else:
            begin(folder)
    elif _is_empty(folder.index) and (not _is_empty(folder.log) or any(_finished(folder.bodies))):
        _log.critical("index missing")
        begin(folder)


def begin(folder: Folder) -> None:
    """Salvage the index. Raises `OSError` or `sqlite3.Error`; what was done is then gone on with at the next start."""
    folder.salvaging.mkdir(mode=0o700, exist_ok=True)
    aside = folder.salvaging / "index.db"
    for path in (folder.log, folder.index):
        if path.exists() and not (folder.salvaging / path.name).exists():
            path.rename(folder.salvaging / path.name)
    aside.touch(mode=0o600)
    for path in (folder.salvaging, folder.path):
        bodies.sync_folder(path)
    summary = Summary()
    new = folder.path / "index.new"
    known = _fill(new, aside, folder.bodies, summary)
    _move_bodies(folder, known, summary)
    (folder.salvaging / "summary.json").write_text(json.dumps(asdict(summary), indent=2))
    new.rename(folder.index)
    bodies.sync_folder(folder.path)
    _log.error("index salvaged", **{**asdict(summary), "incomplete": len(summary.incomplete)})
    _finish(folder)


def _finish(folder: Folder) -> None:
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (f"index-{date}{suffix}" for suffix in ("", *(f"-{number}" for number in range(1, 1000))))
    aside = next(path for path in (folder.damaged / name for name in names) if not path.exists())
    folder.salvaging.rename(aside)
    for path in (folder.damaged, folder.path):
        bodies.sync_folder(path)


def _fill(new: Path, aside: Path, files: Path, summary: Summary) -> set[str]:
    """Make the index *new* of what is whole in the one *aside*; return the messages whose bodies are in *files*."""
    for leftover in (new, new.with_name(f"{new.name}-wal")):
        leftover.unlink(missing_ok=True)
    target = schema.connect(new, 0)
    try:
        schema.migrate(target)
        with readable(aside) as source:
            known = set() if source is None else _Transfer(source, target, files, summary).run()
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        target.close()
    return known


@dataclass(slots=True)
class _Transfer:
    """What is whole, on its way from one index to another."""

    source: sqlite3.Connection
    target: sqlite3.Connection
    files: Path
    summary: Summary

    def run(self) -> set[str]:
        """Transfer everything; return the messages whose bodies are in files."""
        known: set[str] = set()
        seen = set()
        self.target.execute("BEGIN")
        for message in self._messages():
            seen.add(message["number"])
            if self._transferred(message):
                self.summary.salvaged += 1
                if message["in_file"]:
                    known.add(message["id"])
            else:
                self.summary.incomplete.append(str(message.get("id")))
        self.target.execute("COMMIT")
        self.summary.unreadable = len(self._told_of() - seen)
        return known

    def _messages(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of messages that can be read, by dividing the ranges that cannot."""
        ranges, failures = [(-1, self._highest())], 0
        while ranges and failures < _PROBES:
            low, high = ranges.pop()
            try:
                found = self._rows("message NOT INDEXED WHERE number BETWEEN ? AND ? ORDER BY number LIMIT ?", low, high, _ROWS)
            except (sqlite3.Error, ValueError):
                failures += 1
                if low < high:
                    middle = (low + high) // 2
                    ranges += [(middle + 1, high), (low, middle)]
                continue
            yield from found
            if len(found) == _ROWS:
                ranges.append((found[-1]["number"] + 1, high))

    def _highest(self) -> int:
        highest = []
        for query in ("SELECT max(number) FROM message NOT INDEXED", "SELECT max(message) FROM body", "SELECT max(message) FROM recipient"):
            try:
                highest.append(self.source.execute(query).fetchone()[0] or 0)
            except sqlite3.Error:
                highest.append(0)
        return max(highest) if highest[0] else max(*highest, _HIGHEST)

    def _told_of(self) -> set[int]:
        """Return the numbers of messages that other tables know of."""
        numbers: set[int] = set()
        for query in ("SELECT message FROM recipient", "SELECT message FROM body"):
            with suppress(sqlite3.Error):
                for (number,) in self.source.execute(query):
                    numbers.add(number)
        return numbers

    def _transferred(self, message: dict[str, Any]) -> bool:
        """Transfer one message; False, and nothing was written, when it is not whole."""
        try:
            recipients = self._rows("recipient WHERE message = ? ORDER BY position", message["number"])
            body = None if message["in_file"] else self._body(message["number"])
        except (sqlite3.Error, ValueError, KeyError):
            return False
        if not recipients or not self._is_whole(message, body):
            return False
        history = self._history(message["number"])
        message["history"] = max((row["number"] for row in history), default=0)
        try:
            self.target.execute("SAVEPOINT message")
            self._insert("message", _MESSAGE, [message])
            self._insert("recipient", _RECIPIENT, recipients)
            self._insert("history", _HISTORY, history)
            if body is not None:
                self._insert("body", ("message", "octets"), [{"message": message["number"], "octets": body}])
        except (sqlite3.IntegrityError, sqlite3.DataError, KeyError):
            self.target.execute("ROLLBACK TO message")
            return False
        finally:
            self.target.execute("RELEASE message")
        return True

    def _is_whole(self, message: dict[str, Any], body: bytes | None) -> bool:
        """Tell whether the body is the one that was put; of a file the size has to do, its content is verified when it is read."""
        if body is not None:
            return len(body) == message.get("size") and checksum(body) == message.get("checksum")
        try:
            return (self.files / str(message["id"])).stat().st_size == message.get("size")
        except (OSError, ValueError):
            return False

    def _body(self, number: int) -> bytes:
        row = self.source.execute("SELECT octets FROM body WHERE message = ?", (number,)).fetchone()
        return b"" if row is None else bytes(row[0])

    def _history(self, number: int) -> list[dict[str, Any]]:
        """Return what can be read of a message's history: a message is whole without it."""
        try:
            return self._rows("history WHERE message = ? ORDER BY number", number)
        except (sqlite3.Error, ValueError):
            return []

    def _rows(self, what: str, *values: int) -> list[dict[str, Any]]:
        cursor = self.source.execute(f"SELECT * FROM {what}", values)  # noqa: S608 constants
        names = [column[0] for column in cursor.description]
        return [_ABSENT | dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _insert(self, table: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
        places = ", ".join("?" * len(columns))
        values = [tuple(row[column] for column in columns) for row in rows]
        self.target.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", values)  # noqa: S608 constants


def _move_bodies(folder: Folder, known: set[str], summary: Summary) -> None:
    """Move body files aside whose row is lost, or was never written: nobody can tell now."""
    aside = folder.salvaging / "bodies"
    aside.mkdir(mode=0o700, exist_ok=True)
    for path in _finished(folder.bodies):
        if path.name not in known:
            path.rename(aside / path.name)
    for path in (aside, folder.bodies):
        bodies.sync_folder(path)
    summary.body_files = sum(1 for _ in aside.iterdir())


def _finished(files: Path) -> Iterator[Path]:
    return (path for path in sorted(files.iterdir()) if path.suffix != bodies.UNFINISHED)


def _is_empty(path: Path) -> bool:
    return not path.exists() or path.stat().st_size == 0
