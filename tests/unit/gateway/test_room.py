"""What is left of a volume: pure arithmetic, and an account between two looks."""

from __future__ import annotations

import pytest

from smtp_gateway.spool.room import BALLAST, FEW, LEAST, RESERVE, ROW, SCARCE, Look, Room, Volume, ballast_of, cost_of, reserve_of

MIB = 1024 * 1024
SMALL, LARGE = 60 * MIB, 5120 * MIB
SOFT, HARD = 1 * MIB, 64 * MIB


def look(left: int, *, size: int = SMALL, ballast: int = 0, growth: int = 0, reserve: int = LEAST) -> Look:
    """Return what a look finds."""
    return Look(Volume(size, left, ballast), log=0, growth=growth, reserve=reserve)


@pytest.mark.parametrize(
    ("size", "configured", "expected"),
    [
        (LARGE, None, RESERVE),
        (200 * MIB, None, 10 * MIB),
        (SMALL, None, LEAST),
        (LARGE, 100 * MIB, 100 * MIB),
        (LARGE, 1, LEAST),  # without any, a full volume could not be emptied
    ],
)
def test_the_reserve_follows_the_volume_and_the_configuration(size: int, configured: int | None, expected: int) -> None:
    """16 MB, or the twentieth part of a small volume, or what is configured; never less than what emptying a full volume takes."""
    assert reserve_of(size, configured) == expected


def test_the_ballast_is_half_of_the_reserve_up_to_a_bound() -> None:
    """What a short log needs is held physically; more would help nobody."""
    assert [ballast_of(reserve) for reserve in (LEAST, RESERVE, 100 * RESERVE)] == [LEAST // 2, BALLAST, BALLAST]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (look(10 * MIB), 10 * MIB - LEAST),
        (look(10 * MIB, ballast=LEAST // 2), 10 * MIB - LEAST // 2),
        (look(10 * MIB, ballast=2 * LEAST), 10 * MIB),
        (look(10 * MIB, growth=3 * MIB), 7 * MIB - LEAST),
        (look(1 * MIB), 1 * MIB - LEAST),
    ],
)
def test_new_mail_has_what_neither_the_reserve_nor_the_log_needs(found: Look, expected: int) -> None:
    """The ballast is a part of the reserve; pages in the log will be needed once more in the index."""
    assert found.spare == expected
    assert Room(found).free == max(expected, 0)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (look(LEAST), True),
        (look(LEAST - 1), False),
        (look(LEAST, growth=1), False),
        (look(LEAST, ballast=LEAST // 2), False),
        (look(LEAST // 2 + 1, ballast=LEAST // 2 - 1), True),
        (look(LEAST, ballast=LEAST), True),
    ],
)
def test_the_ballast_is_held_when_there_is_room_for_the_reserve(found: Look, expected: bool) -> None:  # noqa: FBT001 a column of the table
    """It takes nothing from new mail, is not taken out of what settlements need now, and is cut when the reserve became smaller."""
    assert found.wants_ballast is expected


def test_what_is_promised_and_what_is_written_count_until_the_next_look() -> None:
    """A look tells about what was written before it began; what is promised counts until it is written or given up."""
    room = Room(look(LEAST + 10 * MIB))
    room.promise(3 * MIB)
    assert room.free == 7 * MIB
    room.release(2 * MIB, written=2 * MIB)
    assert room.free == 7 * MIB
    room.release(1 * MIB)
    assert room.free == 8 * MIB

    begun = room.written
    room.promise(1 * MIB)
    room.release(1 * MIB, written=1 * MIB)
    room.see(look(LEAST + 8 * MIB), begun)
    assert room.free == 7 * MIB
    room.see(look(LEAST + 7 * MIB), room.written)
    assert room.free == 7 * MIB


def test_a_full_volume_is_full_until_there_is_room_to_speak_of() -> None:
    """It becomes full by a promise or a look, and is not full again by what a turn of the log gives back."""
    room = Room(look(LEAST + FEW))
    assert not room.full
    room.promise(1)
    assert room.full
    room.release(1)
    room.see(look(LEAST + FEW + LEAST // 2 - 1), 0)
    assert room.full
    room.see(look(LEAST + FEW + LEAST // 2), 0)
    assert not room.full
    room.see(look(LEAST + FEW - 1), 0)
    assert room.full


@pytest.mark.parametrize(
    ("found", "written", "log", "due"),
    [
        (look(SCARCE, size=LARGE), 0, HARD, False),
        (look(SCARCE, size=LARGE), 0, HARD + 1, True),
        (look(SCARCE, size=LARGE), 1, SOFT + 1, True),
        (look(SCARCE - 1, size=LARGE), 0, SOFT + 1, True),
        (look(SCARCE - 1, size=LARGE), 0, SOFT, False),
        (look(2 * MIB, growth=MIB // 2), 0, 0, False),
        (look(2 * MIB, growth=MIB // 2), 1, 0, True),
        (look(LARGE, size=LARGE, growth=LARGE // 4 + 1), 0, 0, True),
    ],
)
def test_the_log_is_moved_while_the_volume_can_take_it_in(found: Look, written: int, log: int, due: bool) -> None:  # noqa: FBT001 a column
    """It is kept short where little is left, and moved before the index would have to grow by a quarter of that."""
    room = Room(found)
    room.written += written
    assert room.log_is_due(log, SOFT, HARD) is due


def test_a_body_costs_its_log_its_index_and_its_rows() -> None:
    """Twice its octets, and what the rows of a message that comes alone take."""
    assert cost_of(1000) == 2000 + ROW
