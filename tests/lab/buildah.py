"""Building images without a daemon: buildah, with a storage of its own below the lab's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.shell import HERE, Setting, run, succeeds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.lab.layout import Layout


def buildah(layout: Layout, *arguments: str | Path, setting: Setting = HERE) -> str:
    """Run buildah on the lab's own storage."""
    storage = ("--root", layout.storage / "root", "--runroot", layout.storage / "run")
    return run(["buildah", *storage, *arguments], setting=setting)


def has_image(layout: Layout, name: str) -> bool:
    """Tell whether buildah's storage holds an image."""
    storage = ("--root", layout.storage / "root", "--runroot", layout.storage / "run")
    return succeeds(["buildah", *storage, "inspect", "--type", "image", name])


def commit_from_scratch(layout: Layout, name: str, source: Path, destination: str, *config: str) -> None:
    """Make an image of one file or one tree, and nothing else."""
    commit(layout, name, "scratch", {source: destination}, *config)


def commit(layout: Layout, name: str, base: str, files: Mapping[Path, str], *config: str) -> None:
    """Make an image of another one, and of files or trees that are put into it."""
    container = buildah(layout, "from", base).strip()
    for source, destination in files.items():
        buildah(layout, "copy", "--quiet", container, source, destination)
    buildah(layout, "config", *config, container)
    buildah(layout, "commit", "--quiet", "--rm", container, name)


def push_archive(layout: Layout, name: str, archive: Path) -> None:
    """Write an image as an archive that containerd can import; it appears under its name only when complete."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    buildah(layout, "push", "--quiet", name, f"docker-archive:{partial}:{name}")
    partial.replace(archive)
