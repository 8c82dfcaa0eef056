"""What is done for settlements, and for starts, that find no room on the volume. On volumes that are really full: `tests/volume`."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway.spool import ballast, journal, writer
from smtp_gateway.spool.api import Depth, Settlement, SpoolFullError, SpoolUnavailableError
from smtp_gateway.spool.journal import Journal
from smtp_gateway.spool.room import BALLAST
from tests.support.disks import failing, opened
from tests.support.messages import NOW, new_message
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from smtp_gateway.spool.disk import DiskSpool

ALWAYS = 1000


def no_room() -> sqlite3.OperationalError:
    """Return the error that SQLite gives."""
    fault = sqlite3.OperationalError("database or disk is full")
    fault.sqlite_errorcode = sqlite3.SQLITE_FULL
    return fault


def failing_first(real: Callable[..., Any], times: int, calls: list[str]) -> Callable[..., Any]:
    """Return *real*, but for the first *times* calls, which find no room."""
    left = [times]

    def call(*arguments: Any, **options: Any) -> Any:
        calls.append(real.__name__)
        if left[0] > 0:
            left[0] -= 1
            raise no_room()
        return real(*arguments, **options)

    return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What makes room, in the order in which it was tried."""
    calls = list[str]()
    for name in ("turn", "give_up_ballast"):
        real = getattr(Journal, name)
        remedy = failing_first(real, 0, calls)
        monkeypatch.setattr(Journal, name, remedy)
    monkeypatch.setattr(writer, "_REMEDIES", (Journal.turn, Journal.give_up_ballast))
    monkeypatch.setattr(writer, "TEND", 3600.0)
    return calls


async def leased(spool: DiskSpool, number: int) -> list[Settlement]:
    """Put messages, and return the settlements of their deliveries."""
    await asyncio.gather(*(spool.put(new_message()) for _ in range(number)))
    return [Settlement(entry.id) for entry in spool.lease(NOW, number)]


@pytest.mark.parametrize(
    ("times", "remedies"), [(1, ["turn"]), (2, ["turn", "give_up_ballast"])], ids=["a turn helps", "only the ballast helps"]
)
async def test_settlements_that_find_no_room_wait_for_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str], times: int, remedies: list[str]
) -> None:
    """The log is turned, then the ballast is given up; those who wait for their settlements notice nothing."""
    async with opened(tmp_path) as spool:
        settlements = await leased(spool, 3)
        monkeypatch.setattr(Journal, "commit", failing_first(Journal.commit, times, []))
        await asyncio.gather(*map(spool.settle, settlements))

        assert calls == remedies
        assert spool.depth() == Depth()
        assert spool.healthy() is None


async def test_settlements_fail_when_nothing_makes_room_and_can_be_offered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    """They are told so, each after a try of its own; the spool is not broken, and takes them when there is room."""
    async with opened(tmp_path) as spool:
        settlements = await leased(spool, 3)
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "commit", failing_first(Journal.commit, ALWAYS, []))
            results = await asyncio.gather(*map(spool.settle, settlements), return_exceptions=True)
            assert [type(result) for result in results] == [SpoolFullError] * 3
            with pytest.raises(SpoolFullError):
                await spool.put(new_message())
        assert calls == ["turn", "give_up_ballast"]
        await asyncio.gather(*map(spool.settle, settlements))

        assert calls == ["turn", "give_up_ballast"]
        assert spool.depth() == Depth()


async def test_what_fits_alone_is_written_when_all_together_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    """After the remedies each settlement is tried alone: a full volume goes on emptying itself."""
    async with opened(tmp_path) as spool:
        settlements = await leased(spool, 3)
        monkeypatch.setattr(Journal, "commit", failing_first(Journal.commit, 3, []))
        await asyncio.gather(*map(spool.settle, settlements))

        assert calls == ["turn", "give_up_ballast"]
        assert spool.depth() == Depth()


async def test_a_turn_that_finds_no_room_is_tried_with_the_room_of_the_ballast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ballast goes only for this, and is held again as soon as there is room."""
    monkeypatch.setattr(writer, "TEND", 0.01)
    held = tmp_path / "ballast"
    async with opened(tmp_path) as spool:
        await spool.put(new_message())
        assert held.stat().st_size == BALLAST
        found = held.stat().st_ctime_ns
        monkeypatch.setattr(Journal, "_turn", failing_first(Journal._turn, 1, []))  # noqa: SLF001 what the disk does
        monkeypatch.setattr(journal, "LOG_SOFT", 0)
        await eventually(lambda: held.exists() and held.stat().st_ctime_ns != found, what="another ballast")

        assert held.stat().st_blocks * 512 >= BALLAST
        assert spool.healthy() is None


@pytest.mark.parametrize("times", [1, 2], ids=["the ballast helps", "nothing helps"])
async def test_a_start_without_room_takes_the_ballast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """What a start must write has the ballast's room; without any it says what is missing."""
    async with opened(tmp_path) as spool:
        await spool.put(new_message())
    monkeypatch.setattr(journal, "_open", failing_first(journal._open, times, []))  # noqa: SLF001 what the disk does
    if times == 1:
        async with opened(tmp_path) as spool:
            assert spool.depth().messages == 1
    else:
        with pytest.raises(SpoolUnavailableError, match="cannot be opened: database or disk is full"):
            async with opened(tmp_path):
                pass


async def test_a_broken_spool_heals_with_the_room_of_the_ballast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a sync fails for want of room, opening the folder again needs some: at the first try."""
    monkeypatch.setattr(writer, "HEAL_FIRST", 0.01)
    monkeypatch.setattr(writer, "HEAL_LAST", 3600.0)
    async with opened(tmp_path) as spool:
        await spool.put(new_message())
        monkeypatch.setattr(Journal, "succeed", failing_first(Journal.succeed, 1, []))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(failing(errno.ENOSPC)))
            with pytest.raises(SpoolUnavailableError):
                await spool.put(new_message())
        await eventually(lambda: spool.healthy() is None, what="the spool is healed")

        assert spool.depth().messages == 1


async def test_a_start_removes_what_a_crash_left_unfinished_before_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies that were cut short may be what fills the volume."""
    async with opened(tmp_path):
        pass
    unfinished = tmp_path / "bodies" / "0.unfinished"
    unfinished.write_bytes(b"x" * 1000)
    seen = []
    real = journal._open  # noqa: SLF001 what the disk does

    def noted(*arguments: Any, **options: Any) -> Journal:
        seen.append(unfinished.exists())
        return real(*arguments, **options)

    monkeypatch.setattr(journal, "_open", noted)
    async with opened(tmp_path):
        assert seen == [False]


def test_the_ballast_is_all_there_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made longer and shorter; what the volume does not have is not held in part; giving nothing up makes no room."""
    held = tmp_path / "ballast"
    assert not ballast.give_up(held)
    for octets in (100_000, 200_000, 50_000):
        ballast.hold(held, octets)
        assert held.stat().st_size == octets
        assert octets <= ballast.held(held) < octets + 8192
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(failing(errno.ENOSPC)))
        ballast.hold(held, 1_000_000)
    assert not held.exists()
    ballast.hold(held, 100_000)
    assert ballast.give_up(held)
    assert ballast.held(held) == 0


def test_a_ballast_that_cannot_be_removed_makes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a read-only volume nothing is given up."""
    held = tmp_path / "ballast"
    ballast.hold(held, 100_000)
    monkeypatch.setattr(type(held), "unlink", lambda *_, **__: (_ for _ in ()).throw(failing(errno.EROFS)))

    assert not ballast.give_up(held)
    assert ballast.held(held) >= 100_000
