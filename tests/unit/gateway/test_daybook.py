"""What was sent today is counted over restarts, whatever is done to the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.daybook import NAME, Daybook, read, written
from smtp_gateway.rates.budget import DAY, QUARTER, Spent, Sums

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOW = 1_700_000_000.0
SPENT = Spent(((1000.0, Sums(3, 5)), (1000.0 + QUARTER, Sums(1, 1))))


class Kept:
    """Budgets of a process whose clock stands at *tick*."""

    def __init__(self, spent: dict[str, Spent] | None = None) -> None:
        """Begin with what is *spent*."""
        self.known = spent or {}

    def spent(self) -> dict[str, Spent]:
        """Return it."""
        return dict(self.known)

    def restore(self, spent: Mapping[str, Spent]) -> None:
        """Take it."""
        self.known.update(spent)


@pytest.mark.parametrize(("away", "counted"), [(0.0, 6), (3600.0, 6), (-7 * DAY, 6), (DAY - 2 * QUARTER, 6), (DAY, 1), (2 * DAY, 0)])
def test_what_was_sent_grows_old_while_nobody_runs(away: float, counted: int) -> None:
    """Another process has another clock; one that was set back in between makes nothing younger than it was."""
    text = written({"default": SPENT}, NOW, 1000.0 + QUARTER + 60.0)

    assert read(text, NOW + away, 7.0)["default"].sum(7.0).recipients == counted


async def test_a_restart_goes_on_where_the_process_ended(tmp_path: Path) -> None:
    """What one wrote the next one knows; nothing is written when nothing was sent."""
    before = Daybook(Kept({"default": SPENT}), tmp_path, lambda: NOW, lambda: 2000.0)
    await before.restore()
    assert not (tmp_path / NAME).exists()
    await before.write()
    (tmp_path / NAME).touch()
    first = (tmp_path / NAME).stat().st_ino
    await before.write()
    assert (tmp_path / NAME).stat().st_ino == first

    after = Kept()
    await Daybook(after, tmp_path, lambda: NOW + 60.0, lambda: 0.0).restore()

    assert after.known["default"].sum(0.0) == Sums(4, 6)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"written_at": 1, "routes": {"default": [[1]]}}', '{"written_at": "x", "routes": {}}', "\x00"]
)
async def test_a_file_that_says_nothing_is_told_and_left(tmp_path: Path, text: str) -> None:
    """Mail goes on; the next write makes the file whole."""
    (tmp_path / NAME).write_text(text, "utf-8")
    kept = Kept()

    with capture_logs() as lines:
        await Daybook(kept, tmp_path, lambda: NOW, lambda: 0.0).restore()

    assert [line["event"] for line in lines] == ["sent mail not counted"]
    assert kept.known == {}


async def test_a_file_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    """A full volume must be emptied by deliveries: they do not wait for it."""
    kept = Kept({"default": SPENT})
    book = Daybook(kept, tmp_path / "away", lambda: NOW, lambda: 2000.0)

    with capture_logs() as lines:
        await book.write()
        await book.write()
        (tmp_path / "away").mkdir()
        await book.write()

    assert [line["event"] for line in lines] == ["sent mail not written down"]
    assert read((tmp_path / "away" / NAME).read_text("utf-8"), NOW, 2000.0) == kept.known
