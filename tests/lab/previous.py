"""
The version before this one, which an upgrade starts from: its source, taken out of the repository's history.

That is the newest release before what is checked out, by its tag (`v*`). Where no tag is to be found (there was no release yet, or the
clone has no tags), it is the commit that `tests/previous-version` names.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.files import keep_newest
from tests.lab.project_images import REPOSITORY
from tests.lab.shell import LabError, Setting, run, succeeds

if TYPE_CHECKING:
    from tests.lab.layout import Layout

NAMED = REPOSITORY / "tests" / "previous-version"
CHART = "charts/smtp-gateway-operator"
_KEPT_TREES = 2


def find_previous(repository: Path = REPOSITORY, named: Path = NAMED) -> str:
    """Return the commit of the previous version, which the clone then has. Raises `LabError` when it has not, and cannot fetch it."""
    wanted = _newest_tag(repository) or named.read_text().strip()
    if not _has(repository, wanted) and not succeeds([*_git(repository), "fetch", "--quiet", "origin", wanted]):
        sentence = (
            f"The previous version, {wanted}, is not in this clone, and cannot be fetched from origin: upgrades from it cannot be tested."
        )
        raise LabError(sentence)
    return run([*_git(repository), "rev-parse", f"{wanted}^{{commit}}"]).strip()


def unpack_previous(layout: Layout, repository: Path = REPOSITORY) -> Path:
    """Return a folder with the source of the previous version; it is named by the commit, and made once. Raises `LabError`."""
    commit = find_previous(repository)
    trees = layout.root / "previous"
    trees.mkdir(parents=True, exist_ok=True)
    tree = trees / commit
    if not tree.exists():
        with tempfile.TemporaryDirectory(dir=trees) as folder:
            archive, partial = Path(folder) / "source.tar", Path(folder) / commit
            partial.mkdir()
            run([*_git(repository), "archive", f"--output={archive}", commit])
            run(["tar", "--extract", f"--file={archive}", f"--directory={partial}"], setting=Setting(task="Unpacking the previous version"))
            partial.rename(tree)
    tree.touch()
    keep_newest(trees.iterdir(), _KEPT_TREES)
    return tree


def _newest_tag(repository: Path) -> str:
    """Return the newest release's tag before what is checked out, which may be a release itself; empty when there is none."""
    command = [*_git(repository), "describe", "--tags", "--abbrev=0", "--match=v*", "HEAD^"]
    return run(command).strip() if succeeds(command) else ""


def _has(repository: Path, wanted: str) -> bool:
    return succeeds([*_git(repository), "cat-file", "-e", f"{wanted}^{{commit}}"])


def _git(repository: Path) -> list[str | Path]:
    return ["git", "-C", repository]
