"""The power fails after every file operation: nothing acknowledged is lost, nothing is half there, whatever the disk kept of the rest.

A real process is recorded under strace (SQLite's calls are made in C), and a model of a disk says what is left after each of its steps.
That is opened with the real spool and compared with what the process had noted by then. `SEEDS` is the number of chances that each step is
given besides the extremes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.crash.cutting import CUTS, SECTOR, Cut, Disk, Survivor, notes
from tests.crash.promises import compare, found
from tests.crash.tracing import Create, Note, Rename, Step, Sync, Truncate, Unlink, UntraceableError, Write, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smtp_gateway.spool.api import Entry

ROOT = Path(__file__).parents[2]
SEEDS = int(os.environ.get("SEEDS", "2"))
MEMORY = Path("/dev/shm")  # noqa: S108 a disk in memory where there is one: some thousand spools are written and opened
pytestmark = pytest.mark.timeout(600 + 60 * SEEDS)


@pytest.fixture(scope="module")
def workplace() -> Iterator[Path]:
    """A folder in memory, if there is such a thing."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="module")
def steps(workplace: Path) -> list[Step]:
    """What a real process did to its spool."""
    volume, diary = workplace / "volume", workplace / "diary"
    volume.mkdir()
    command = (sys.executable, "-m", "tests.crash.cut_runner", str(volume / "spool"), str(diary), "first")
    return record(command, volume, diary, (ROOT, {**os.environ}))


@dataclass
class Inspection:
    """Power cuts, and what was lost by them."""

    scratch: Path
    opened: int = 0
    cuts: int = 0
    _found: dict[object, dict[str, Entry] | Exception] = field(default_factory=dict)
    """What was found on disks that differ."""

    async def losses(self, steps: list[Step], seeds: int, *, enough: int = 1) -> list[str]:
        """Cut the power before the first of *steps* and after each; return what was lost, *enough* losses at most."""
        disk, lost = Disk(), list[str]()
        said: list[str] = []
        for number, step in enumerate([None, *steps]):
            if step is not None:
                disk.play(step)
                said += notes([step])
            for cut in (*CUTS, *(Cut(0.5, 0.5, number * 1000 + seed) for seed in range(seeds))):
                self.cuts += 1
                loss = await self._loss(disk.survivor(cut), said)
                if loss is not None:
                    lost.append(f"{cut} after step {number}, {_described(step)}, having noted {said[-3:]}: {loss!r}")
                if len(lost) >= enough:
                    return lost
        return lost

    async def _loss(self, survivor: Survivor, said: list[str]) -> Exception | None:
        if survivor.facts not in self._found:
            self._found[survivor.facts] = await self._open(survivor)
        outcome = self._found[survivor.facts]
        if not isinstance(outcome, dict):
            return outcome if said else None
        try:
            compare(said, outcome)
        except AssertionError as loss:
            return loss
        return None

    async def _open(self, survivor: Survivor) -> dict[str, Entry] | Exception:
        self.opened += 1
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        survivor.write(self.scratch)
        try:
            return await found(self.scratch / "spool")
        except Exception as fault:  # noqa: BLE001 whatever it is, the spool cannot be used
            return fault


def _described(step: Step | None) -> str:
    return "nothing" if step is None else repr(replace(step.call, octets=b"...") if isinstance(step.call, Write) else step.call)


async def test_a_power_cut_after_any_step_loses_nothing(steps: list[Step], workplace: Path, figures: list[str]) -> None:
    """Every acknowledged message is there with its body, every settlement holds, and the index is sound."""
    inspection = Inspection(workplace / "scratch")
    lost = await inspection.losses(steps, SEEDS, enough=5)
    figures.append(
        f"power cuts: {inspection.cuts} after {len(steps)} steps, {inspection.opened} different disks opened, {len(lost)} losses"
    )

    assert lost == []


def test_the_recording_has_every_kind_of_step(steps: list[Step]) -> None:
    """The turn of the log, its cut, a clean close, an unclean one, each outcome, and a sync for each group that was acknowledged."""
    kinds = Counter(type(step.call) for step in steps)
    words = Counter(line.split()[0] for line in notes(steps))

    assert min(kinds[kind] for kind in (Write, Truncate, Sync, Create, Rename, Unlink, Note)) >= 5
    assert set(words) == {"put", "settling", "settled", "deferring", "deferred", "bouncing", "bounced"}
    assert len(_named(steps, "index.db-wal")) == 2, "one until the clean close, and one that two processes used"


def _named(steps: list[Step], name: str) -> set[int]:
    return {step.call.file for step in steps if isinstance(step.call, Create) and step.call.name == name}


def _bodies(steps: list[Step]) -> set[int]:
    """Return the inodes of the bodies in files."""
    (folder,) = _named(steps, "bodies")
    return {step.call.file for step in steps if isinstance(step.call, Create) and step.call.folder == folder}


def _without_sync(steps: list[Step], files: set[int]) -> list[Step]:
    return [step for step in steps if not (isinstance(step.call, Sync) and step.call.file in files)]


def _after_the_next_note(steps: list[Step], kind: type) -> list[Step]:
    """Return *steps* with those of *kind* delayed until something was acknowledged."""
    moved, waiting = list[Step](), list[Step]()
    for step in steps:
        if isinstance(step.call, kind):
            waiting.append(step)
            continue
        moved.append(step)
        if isinstance(step.call, Note):
            moved += waiting
            waiting.clear()
    return moved


def _unlinked_early(steps: list[Step]) -> list[Step]:
    """Return *steps* with the bodies removed when their settlement begins, before it is written."""
    removals = [step for step in steps if isinstance(step.call, Unlink) and step.call.folder in _named(steps, "bodies")]
    names = {step.call.name: step for step in removals if isinstance(step.call, Unlink)}
    moved = list[Step]()
    for step in steps:
        if step in removals:
            continue
        moved.append(step)
        words = step.call.line.split() if isinstance(step.call, Note) and step.begins else []
        if words and words[0] in {"settling", "bouncing"} and words[1] in names:
            moved.append(names[words[1]])
    return moved


FAULTS: dict[str, Callable[[list[Step]], list[Step]]] = {
    "the log is not synced": lambda steps: _without_sync(steps, _named(steps, "index.db-wal")),
    "the index is not synced": lambda steps: _without_sync(steps, _named(steps, "index.db")),
    "a body is not synced": lambda steps: _without_sync(steps, _bodies(steps)),
    "the folder of the bodies is not synced": lambda steps: _without_sync(steps, _named(steps, "bodies")),
    "the folder of the spool is not synced": lambda steps: _without_sync(steps, _named(steps, "spool")),
    "the folder above the spool is not synced": lambda steps: _without_sync(steps, {0}),
    "a body gets its name after the answer": lambda steps: _after_the_next_note(steps, Rename),
    "a body is removed before its settlement": _unlinked_early,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_in_the_order_is_found(steps: list[Step], workplace: Path, fault: str) -> None:
    """The test of the test: with any one step of durability left out or out of its order, something is lost."""
    faulty = FAULTS[fault](steps)
    assert faulty != steps

    assert await Inspection(workplace / "scratch").losses(faulty, 0) != []


def test_a_sync_covers_only_what_had_ended_before_it() -> None:
    """A write that another thread makes meanwhile may be lost, and one that was under way as well."""
    before, during = Write(1, 0, b"before"), Write(1, 6, b"during")
    begun, syncing = Step(during, begins=True), Step(Sync(1), begins=True)
    disk = Disk()
    for step in (Step(Create(0, "f", 1), begins=True, ends=True), Step(before, begins=True, ends=True), begun, syncing):
        disk.play(step)
    disk.play(Step(during, ends=True, other=begun))
    disk.play(Step(Sync(1), ends=True, other=syncing))

    assert disk.survivor(Cut(1.0, 0.0)).facts == (("f", 1, 1, ()),)
    assert bytes(disk.files[1].durable) == b"before"
    assert disk.survivor(Cut(1.0, 1.0)).facts == (("f", 1, 1, ((0, 0, 6),)),)


def test_a_name_lasts_once_its_folder_was_synced(tmp_path: Path) -> None:
    """Until then it may be gone, although the octets are safe."""
    disk = Disk()
    for call in (Create(0, "new", 1), Write(1, 0, b"x"), Sync(1), Rename(0, "new", "f")):
        disk.play(Step(call, begins=True, ends=True))
    assert disk.survivor(Cut(0.0, 1.0)).facts == ()
    disk.play(Step(Sync(0), begins=True, ends=True))
    disk.survivor(Cut(0.0, 0.0)).write(tmp_path)

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"x")]


def test_a_torn_write_is_torn_at_a_sector(tmp_path: Path) -> None:
    """By chance a write is there in part, and a hole before what is there reads as zeros."""
    disk, sizes = Disk(), set[int]()
    for call in (Create(0, "f", 1), Sync(0), Write(1, 100, b"x" * 2_000)):
        disk.play(Step(call, begins=True, ends=True))
    for seed in range(60):
        disk.survivor(Cut(0.5, 0.5, seed)).write(tmp_path)
        octets = (tmp_path / "f").read_bytes()
        assert set(octets[100:]) <= set(b"x\0")
        sizes.add(len(octets))

    assert {0, SECTOR, 2_100} < sizes <= {0, *range(SECTOR, 2_100, SECTOR), 2_100}


def test_what_cannot_be_followed_is_said(tmp_path: Path) -> None:
    """A file that is changed through memory would be a gap in the recording."""
    (tmp_path / "volume").mkdir()
    lines = "import mmap, sys; f = open(sys.argv[1], 'wb+'); f.write(bytes(9)); f.flush(); mmap.mmap(f.fileno(), 9)"
    command = (sys.executable, "-c", lines, str(tmp_path / "volume" / "f"))

    with pytest.raises(UntraceableError, match=r"F_DUPFD|mmap"):
        record(command, tmp_path / "volume", tmp_path / "diary", (tmp_path, {**os.environ}))
