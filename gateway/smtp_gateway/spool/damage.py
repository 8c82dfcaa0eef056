"""Reading an index that cannot be opened as it is: by the header or the first page of a new one, or without its log.

The tables of an index are made in one order, so in each index of one version they begin at the same pages; the first page of an empty index
then tells where they are. The files stay as they are except for what is put in the place of the first page, and of that a copy is kept.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from smtp_gateway.spool import schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEADER = 100
"""Octets of the first page before its content (SQLite file format, section 1.3)."""
_SIZE_VALID_FOR = slice(92, 96)
"""The field of the header that says whether the size in it is right (section 1.3.9)."""
_TABLES = ("message", "recipient", "body")


@contextmanager
def readable(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open the index at *path* by the least change that lets its tables be found; None when nothing does. Raises `OSError`."""
    for change in (None, _new_header, _new_page, _without_log):
        if change is not None:
            change(path)
        connection = _opened(path)
        if connection is not None:
            try:
                yield connection
            finally:
                schema.let_go(connection)
            return
    yield None


def _opened(path: Path) -> sqlite3.Connection | None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA writable_schema = ON")  # a schema that is damaged in part is read in part
        known = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        for table in _TABLES:
            connection.execute(f"SELECT * FROM {table} LIMIT 0").fetchall()  # noqa: S608 constants
    except sqlite3.Error:
        known = set()
    if known.issuperset(_TABLES):
        return connection
    schema.let_go(connection)
    return None


def _new_header(path: Path) -> None:
    _replace_beginning(path, _HEADER)


def _new_page(path: Path) -> None:
    _replace_beginning(path, None)


def _replace_beginning(path: Path, octets: int | None) -> None:
    """Put the beginning of a new index in the place of that of *path*."""
    template = path.with_name("template.db")
    connection = schema.connect(template, 0)
    schema.migrate(connection)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    beginning = bytearray(template.read_bytes()[: octets or size])
    template.unlink()
    beginning[_SIZE_VALID_FOR] = b"\xff" * 4  # so that the file's size counts, and not the template's
    with path.open("r+b") as index:
        kept = path.with_name("first-page")
        if not kept.exists():
            kept.write_bytes(index.read(size))
        index.seek(0)
        index.write(beginning)


def _without_log(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.with_name(f"{path.name}-wal").rename(path.with_name("unused-wal"))
