"""
Deleting, without ever deleting what is mounted from elsewhere.

`remove_tree` unmounts everything below a folder first and refuses to delete while something is still mounted there: a tree with
/proc or a developer's disk mounted in it is not ours to empty.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.shell import LabError, succeeds

if TYPE_CHECKING:
    from collections.abc import Iterable


def mounts_below(folder: Path) -> list[Path]:
    """List the mount points at or below a folder, deepest (and latest) first."""
    points = [_unescape(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in reversed(points) if point == folder or folder in point.parents]


def unmount_below(folder: Path) -> None:
    """Unmount everything at or below a folder; a busy mount is detached, and goes when its last user goes."""
    for point in mounts_below(folder):
        if not succeeds(["umount", point]):
            succeeds(["umount", "--lazy", point])


def remove_tree(folder: Path) -> None:
    """Delete a folder and all in it that is not mounted from elsewhere."""
    unmount_below(folder)
    if still := mounts_below(folder):
        sentence = f"{still[0]} is still mounted, so {folder} was not deleted."
        raise LabError(sentence)
    if folder.exists():
        shutil.rmtree(folder)


def keep_newest(paths: Iterable[Path], count: int) -> list[Path]:
    """Delete all but the newest few files or folders, and say which were deleted."""
    old = sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)[count:]
    for path in old:
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink()
    return old


def _unescape(mounted: str) -> Path:
    """Undo the octal escapes the kernel writes for blanks."""
    return Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), mounted))
