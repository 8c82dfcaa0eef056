"""A disk whose power may fail: what survives is what was synced, and of the rest whatever chance keeps.

The rules are the least that a file system promises. A write is durable once a sync of its file, begun after the write had ended, has ended;
until then any part of it, in whole sectors, may be there or not, whatever came later. A new name, a rename, a removal is durable
once its folder was synced; until then the folder is as it was, or as it was after some of the operations on it, in their order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.crash.tracing import Create, Note, Rename, Step, Sync, Truncate, Unlink, Write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SECTOR = 512
"""Octets that a disk writes wholly or not at all."""
_Naming = Create | Rename | Unlink


@dataclass(slots=True)
class Inode:
    """A file: what is durable, and what was written since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)
    ended: set[Step] = field(default_factory=set)
    syncs: int = 0
    """How often something of it became durable; with the number of a file it names its durable content."""


@dataclass(slots=True)
class Folder:
    """A folder: the durable names, and what happened to names since."""

    durable: dict[str, int] = field(default_factory=dict)
    pending: list[_Naming] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cut:
    """What a power cut keeps of what was not synced: nothing (0.0), everything (1.0), or what chance keeps of it."""

    names: float
    octets: float
    seed: int = 0


CUTS = (Cut(0.0, 0.0), Cut(1.0, 0.0), Cut(0.0, 1.0), Cut(1.0, 1.0))
"""The extremes. The second is a file system that orders its names; the last is a kill without a cut."""
_Kept = tuple[tuple[int, int, int], ...]
"""Of pending writes: the number, and the sectors that are kept, as octets from and to within the write."""


class Disk:
    """The disk at one moment; `play` moves it on."""

    def __init__(self) -> None:
        """Begin with an empty root."""
        self.files: dict[int, Inode] = {}
        self.folders: dict[int, Folder] = {0: Folder()}
        self._covered: dict[Step, list[Step]] = {}

    def play(self, step: Step) -> None:
        """Let one step happen."""
        call = step.call
        if isinstance(call, (Create, Rename, Unlink)):
            self._name(call)
        elif isinstance(call, Sync):
            self._sync(call, step)
        elif isinstance(call, (Write, Truncate)):
            inode = self.files[call.file]
            first = step.other or step
            if step.begins:
                inode.pending.append(step)
            if step.ends:
                inode.ended.add(first)

    def _name(self, call: _Naming) -> None:
        self.folders[call.folder].pending.append(call)
        if isinstance(call, Create):
            if call.is_folder:
                self.folders[call.file] = Folder()
            else:
                self.files[call.file] = Inode()

    def _sync(self, call: Sync, step: Step) -> None:
        if call.file in self.folders:
            if step.ends:
                folder = self.folders[call.file]
                _rename(folder.durable, folder.pending)
                folder.pending.clear()
            return
        inode = self.files[call.file]
        if step.begins:
            self._covered[step] = [one for one in inode.pending if one in inode.ended]
        if step.ends:
            covered = self._covered.pop(step.other or step)
            for one in covered:
                if one in inode.ended:  # not made durable by another sync meanwhile
                    _apply(inode.durable, one.call)
                    inode.pending.remove(one)
                    inode.ended.discard(one)
            inode.syncs += 1

    def survivor(self, cut: Cut) -> Survivor:
        """Return what is found after a power cut now."""
        chance = random.Random(cut.seed)  # noqa: S311 a reproducible choice, not a secret
        return Survivor(self, tuple(self._found(0, "", cut, chance)))

    def _found(self, number: int, path: str, cut: Cut, chance: random.Random) -> Iterator[tuple[str, int, int, _Kept]]:
        folder = self.folders[number]
        names = dict(folder.durable)
        _rename(names, folder.pending[: _some(len(folder.pending), cut.names, chance)])
        for name, inode in sorted(names.items()):
            if inode in self.folders:
                yield f"{path}{name}/", inode, 0, ()
                yield from self._found(inode, f"{path}{name}/", cut, chance)
            else:
                yield f"{path}{name}", inode, self.files[inode].syncs, _kept(self.files[inode].pending, cut.octets, chance)


@dataclass(frozen=True, slots=True)
class Survivor:
    """What a power cut leaves. `facts` tells two of them apart as far as their octets could differ."""

    disk: Disk
    facts: tuple[tuple[str, int, int, _Kept], ...]

    def write(self, root: Path) -> None:
        """Make it real in *root*, which is empty. To be called before the disk moves on."""
        for path, inode, _, kept in self.facts:
            if path.endswith("/"):
                (root / path).mkdir(mode=0o700)
            else:
                (root / path).write_bytes(_content(self.disk.files[inode], kept))


def notes(steps: Iterable[Step]) -> Iterator[str]:
    """Yield the lines of the diary that were begun in *steps*."""
    yield from (step.call.line.strip() for step in steps if isinstance(step.call, Note) and step.begins)


def _rename(names: dict[str, int], calls: Iterable[_Naming]) -> None:
    for call in calls:
        if isinstance(call, Create):
            names[call.name] = call.file
        elif isinstance(call, Rename):
            names[call.new] = names.pop(call.old)
        else:
            del names[call.name]


def _some(number: int, share: float, chance: random.Random) -> int:
    """Return how many of *number* are kept: none, all, or by chance."""
    return chance.randint(0, number) if 0.0 < share < 1.0 else round(number * share)


def _kept(pending: list[Step], share: float, chance: random.Random) -> _Kept:
    """Choose of each write what is kept: nothing, everything, or some sectors of it in a row."""
    whole = [(number, 0, len(step.call.octets) if isinstance(step.call, Write) else 0) for number, step in enumerate(pending)]
    if share in {0.0, 1.0}:
        return tuple(whole if share else ())
    kept = []
    for number, _, size in whole:
        call = pending[number].call
        if chance.random() >= share:
            continue
        if isinstance(call, Write) and chance.random() < share:
            borders = sorted({0, size, *range(-call.offset % SECTOR, size, SECTOR)})
            begin, end = sorted((chance.choice(borders), chance.choice(borders)))
            kept.append((number, begin, end))
        else:
            kept.append((number, 0, size))
    return tuple(kept)


def _content(inode: Inode, kept: _Kept) -> bytearray:
    content = bytearray(inode.durable)
    for number, begin, end in kept:
        call = inode.pending[number].call
        if isinstance(call, Write):
            _apply(content, Write(call.file, call.offset + begin, call.octets[begin:end]))
        else:
            _apply(content, call)
    return content


def _apply(content: bytearray, call: object) -> None:
    if isinstance(call, Truncate):
        del content[call.size :]
        content.extend(bytes(call.size - len(content)))
    elif isinstance(call, Write) and call.octets:
        content.extend(bytes(max(call.offset - len(content), 0)))
        content[call.offset : call.offset + len(call.octets)] = call.octets
