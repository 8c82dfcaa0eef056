"""
The images everything starts from, made of Debian's packages and our binaries, since there is no registry to pull from.

Each is kept as an archive whose name says what it was made of.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from functools import partial
from typing import TYPE_CHECKING

from tests.lab.buildah import buildah, commit_from_scratch, has_image, push_archive
from tests.lab.daemons import end_processes, find_processes, find_rooted
from tests.lab.files import keep_newest, remove_tree
from tests.lab.node import PAUSE_IMAGE
from tests.lab.progress import say
from tests.lab.shell import Setting, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.layout import Layout

COREDNS_IMAGE = "localhost/coredns:lab"
PYTHON_IMAGE = "localhost/debian-python:bookworm"
_SUITE = "bookworm"
_INCLUDED = "ca-certificates,python3,python3-venv"
_KEPT_ARCHIVES = 2
_EMPTIED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")


def ensure_program_images(layout: Layout) -> dict[str, Path]:
    """Make the images that hold one static program each; gives the archive of each name."""
    return {
        PAUSE_IMAGE: _ensure_program(layout, PAUSE_IMAGE, "pause"),
        COREDNS_IMAGE: _ensure_program(layout, COREDNS_IMAGE, "coredns"),
    }


def python_archive(layout: Layout) -> Path:
    """Name the archive of the Debian with Python by its recipe: what Debian ships of it today is not part of the name."""
    recipe = "\n".join([_SUITE, _INCLUDED, *_EMPTIED])
    return layout.images / f"debian-python-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"


def ensure_python_image(layout: Layout) -> Path:
    """Make the Debian with Python that the project's own images start from; gives its archive."""
    archive = python_archive(layout)
    if not archive.exists():
        say("making a Debian with Python (a minute or two)")
        rootfs = layout.root / "rootfs"
        _debootstrap(layout, rootfs)
        commit_from_scratch(layout, PYTHON_IMAGE, rootfs, "/", "--cmd", "python3")
        push_archive(layout, PYTHON_IMAGE, archive)
        remove_tree(rootfs)
    _keep(layout, archive, "debian-python")
    return archive


def ensure_python_in_storage(layout: Layout) -> None:
    """Put the Debian with Python where a build finds it; its storage may have been deleted since."""
    archive = ensure_python_image(layout)
    if not has_image(layout, PYTHON_IMAGE):
        buildah(layout, "pull", "--quiet", f"docker-archive:{archive}")


def _ensure_program(layout: Layout, name: str, binary: str) -> Path:
    built = layout.tool(binary).resolve()
    archive = layout.images / f"{built.parent.name}.tar"
    if not archive.exists():
        commit_from_scratch(layout, name, built, f"/{binary}", "--entrypoint", f'["/{binary}"]')
        push_archive(layout, name, archive)
    _keep(layout, archive, binary)
    return archive


def _keep(layout: Layout, archive: Path, prefix: str) -> None:
    os.utime(archive)
    keep_newest(layout.images.glob(f"{prefix}-*.tar"), _KEPT_ARCHIVES)


def _debootstrap(layout: Layout, rootfs: Path) -> None:
    """Unpack Debian; what a killed attempt left (with /proc mounted in it) is ended and unmounted first."""
    end_processes(partial(find_processes, str(rootfs)))
    end_processes(partial(find_rooted, rootfs))
    remove_tree(rootfs)
    setting = Setting(log=layout.logs / "debootstrap.log", task="Unpacking Debian")
    run(["debootstrap", "--variant=minbase", f"--include={_INCLUDED}", _SUITE, rootfs], setting=setting)
    for folder in _EMPTIED:
        shutil.rmtree(rootfs / folder, ignore_errors=True)
        (rootfs / folder).mkdir(parents=True)
