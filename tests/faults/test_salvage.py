"""An index damaged in every way: what is whole is delivered, what is not is kept and counted, and the spool opens."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.mail.dsn import NO_DSN, Asked, Dsn
from smtp_gateway.spool import journal, salvage, writer
from smtp_gateway.spool.api import Attempted, Recipient, Selection, Settlement, SpoolUnavailableError
from smtp_gateway.spool.folder import claim
from tests.support.disks import opened
from tests.support.messages import NOW, new_message, whole
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import NewMessage

PAGE = 16_384
SMALL, LARGE = b"x" * 3000 + b"\r\n.\r\n", b"y" * 300_000 + b"\r\n.\r\n"
RECIPIENTS = ("a@x.example", "b@x.example")
MESSAGES: list[NewMessage] = [
    new_message(RECIPIENTS, body=LARGE if number % 30 == 0 else b"%d" % number + SMALL, identity=f"app{number % 3}") for number in range(90)
]
DSN = Dsn("HDRS", "QQ1", {"a@x.example": Asked("NEVER")})
MESSAGES[1::2] = [replace(message, envelope=replace(message.envelope, dsn=DSN, requiretls=True)) for message in MESSAGES[1::2]]
ASKING = {message.id for message in MESSAGES[1::2]}
BODIES = {message.id: message.body for message in MESSAGES}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spool as a kill leaves it: ninety messages, most of them in the index's file, some in its log only, one deferred with a history."""
    folder = tmp_path_factory.mktemp("killed")

    async def fill() -> None:
        async with opened(folder / "spool") as spool:
            await asyncio.gather(*map(spool.put, MESSAGES[:80]))
            (entry,) = spool.lease(NOW, 1)
            told = Attempted(NOW, "deferred", "", "450", RECIPIENTS, until=NOW)
            await spool.settle(Settlement(entry.id, tuple(Recipient(one, 1, "450", NOW, warned=True) for one in RECIPIENTS), NOW, (told,)))
            await asyncio.to_thread(spool._journal.turn)  # noqa: SLF001 so that the rows are in the main file
            await asyncio.gather(*map(spool.put, MESSAGES[80:]))
            shutil.copytree(folder / "spool", folder / "copy")

    asyncio.run(fill())
    return folder / "copy"


async def found(folder: Path) -> dict[MessageId, int]:
    """Open the spool and return the messages that can be delivered, each proved whole; nothing else may be among them."""
    async with opened(folder) as spool:
        entries = spool.lease(NOW, 1000)
        assert spool.depth().messages == len(entries)
        for entry in entries:
            assert tuple(recipient.address for recipient in entry.recipients) == RECIPIENTS
            assert all(recipient.warned is bool(recipient.attempts) for recipient in entry.recipients)
            assert entry.dsn == (DSN if entry.id in ASKING else NO_DSN)
            assert entry.requiretls is (entry.id in ASKING)
            assert await whole(await spool.body(entry.id)) == BODIES[entry.id]
        return {entry.id: spool.depth().damaged for entry in entries}


def flip(folder: Path, seed: int) -> None:
    """Change a few octets of the index at random."""
    chance = random.Random(seed)  # noqa: S311 a reproducible choice, not a secret
    index = bytearray((folder / "index.db").read_bytes())
    for _ in range(20):
        index[chance.randrange(100, len(index))] ^= 1 << chance.randrange(8)
    (folder / "index.db").write_bytes(index)


def without(pages: slice) -> Callable[[Path], None]:
    """Return what fills *pages* of the index with zeros."""

    def zero(folder: Path) -> None:
        index = bytearray((folder / "index.db").read_bytes())
        start, stop, _ = pages.indices(len(index) // PAGE)
        index[start * PAGE : stop * PAGE] = bytes((stop - start) * PAGE)
        (folder / "index.db").write_bytes(index)

    return zero


def cut(part: float) -> Callable[[Path], None]:
    """Return what leaves *part* of the index, to a whole page."""

    def truncate(folder: Path) -> None:
        index = (folder / "index.db").read_bytes()
        (folder / "index.db").write_bytes(index[: int(len(index) / PAGE * part) * PAGE])

    return truncate


def not_a_database(folder: Path) -> None:
    """Give the index another beginning; the log, which has the first page as well, is gone."""
    index = (folder / "index.db").read_bytes()
    (folder / "index.db").write_bytes(b"Not a database!!" + index[16:])
    (folder / "index.db-wal").unlink()


def another_version(folder: Path) -> None:
    """Let the index seem to be of an earlier version than it is."""
    (folder / "index.db-wal").unlink()
    index = bytearray((folder / "index.db").read_bytes())
    index[60:64] = (1).to_bytes(4, "big")
    (folder / "index.db").write_bytes(index)


def no_first_page(folder: Path) -> None:
    """Leave nothing of the first page, in the log neither."""
    without(slice(0, 1))(folder)
    (folder / "index.db-wal").unlink()


def something_else(folder: Path) -> None:
    """Put something else in the place of the index, and of its log."""
    (folder / "index.db").write_bytes(b"#!/bin/sh\n" * 1000)
    (folder / "index.db-wal").unlink()


@pytest.mark.parametrize(
    ("damage", "least"),
    [
        pytest.param(without(slice(12, 14)), 40, id="pages of zeros"),
        pytest.param(no_first_page, 80, id="no first page"),
        pytest.param(without(slice(-2, None)), 40, id="zeros at the end"),
        pytest.param(cut(0.9), 20, id="cut a little"),
        pytest.param(cut(0.5), 0, id="cut in half"),
        pytest.param(cut(0.0), 0, id="empty"),
        pytest.param(not_a_database, 80, id="wrong magic"),
        pytest.param(another_version, 80, id="another version"),
        pytest.param(something_else, 0, id="something else"),
    ],
)
async def test_what_is_whole_is_salvaged(tmp_path: Path, killed: Path, damage: Callable[[Path], None], least: int) -> None:
    """It is delivered with its own body to its own recipients; the damaged files are kept, the rest is counted, and mail is taken again."""
    folder = await asyncio.to_thread(shutil.copytree, killed, tmp_path / "spool")
    damage(folder)

    messages = await found(folder)
    assert len(messages) >= least
    assert (await found(folder)).keys() == messages.keys()
    (aside,) = (folder / "damaged").glob("index-*")
    assert (aside / "index.db").exists()
    large = {path.name for where in (folder / "bodies", aside / "bodies") for path in where.iterdir()}
    assert large == {message.id for message in MESSAGES[::30]}
    async with opened(folder) as spool:
        await spool.put(new_message())
        assert spool.healthy() is None


@pytest.mark.parametrize("seed", range(25))
async def test_flipped_bits_never_deliver_what_was_not_put(tmp_path: Path, killed: Path, seed: int) -> None:
    """Whatever bits: the spool opens, and each body is delivered as it was put or set aside."""
    folder = await asyncio.to_thread(shutil.copytree, killed, tmp_path / "spool")
    flip(folder, seed)

    async with opened(folder) as spool:
        for entry in spool.lease(NOW, 1000):
            try:
                body = await whole(await spool.body(entry.id))
            except Exception as fault:  # noqa: BLE001 damage may show in any way, and only what is given counts
                assert not isinstance(fault, AssertionError)  # noqa: PT017 nothing to expect
            else:
                assert body in BODIES.values()


@pytest.mark.parametrize("step", ["_fill", "_move_bodies", "_finish"])
async def test_a_salvage_that_is_interrupted_goes_on(tmp_path: Path, killed: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Whatever step was the last, the next start ends with the same messages and one folder of damage."""
    folder = await asyncio.to_thread(shutil.copytree, killed, tmp_path / "spool")
    no_first_page(folder)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(salvage, step, die)
        with pytest.raises(KeyboardInterrupt):
            await asyncio.to_thread(_open, folder)
    assert len(await found(folder)) == 80
    assert len(list((folder / "damaged").iterdir())) == 1
    assert not (folder / "salvaging").exists()


async def test_damage_found_later_is_salvaged_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that turns out unreadable while the spool works: what is whole is delivered after a moment, without a restart."""
    monkeypatch.setattr(writer, "HEAL_FIRST", 0.01)
    async with opened(tmp_path) as spool:
        await asyncio.gather(*(spool.put(new_message(RECIPIENTS, body=SMALL)) for _ in range(300)))
        await asyncio.to_thread(spool._journal.turn)  # noqa: SLF001 so that the rows are in the main file
        spool._journal.connection.execute("PRAGMA shrink_memory")  # noqa: SLF001 so that they are read from it again
        without(slice(40, 42))(tmp_path)
        for message in spool.listing(Selection(), 1000):
            with contextlib.suppress(SpoolUnavailableError, KeyError):
                await spool.body(message.entry.id)
        await eventually(lambda: spool.healthy() is None and spool.depth().damaged > 0, what="the salvage")

        entries = spool.lease(NOW, 1000)
        assert 200 < len(entries) == spool.depth().messages
        for entry in entries:
            assert await spool.body(entry.id) == SMALL


def _open(folder: Path) -> None:
    claimed = claim(folder)
    try:
        journal.open_journal(claimed)
    finally:
        claimed.give_up()
