"""
The project's own two images, named by the hash of exactly what they are made of.

The paths of a recipe are copied aside, hashed there, and built from there: what is not on the list cannot get into the image, and a
file that changes while the image is being built cannot make its name a lie. An image that was built before is not built again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.files import keep_newest, remove_tree
from tests.lab.progress import say
from tests.lab.shell import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.lab.layout import Layout

REPOSITORY = Path(__file__).parents[2]
_KEPT_ARCHIVES = 4
"""Of each image: the latest three of this checkout, and the previous version's."""
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*_cache", "*.egg-info")


@dataclass(frozen=True)
class Recipe:
    """An image of the project: its name, and all that it is made of, as patterns from the repository's root."""

    key: str
    name: str
    dockerfile: str
    paths: tuple[str, ...]


_COMMON = (".dockerignore", "pyproject.toml", "README.md", "LICENSE", "requirements/build.txt", "gateway")
RECIPES = (
    Recipe("gateway", "localhost/smtp-gateway", "gateway/Dockerfile", (*_COMMON, "requirements/gateway.txt")),
    # The operator reads and renders the gateway's configuration model, so its image holds that package, too.
    Recipe("operator", "localhost/smtp-gateway-operator", "operator/Dockerfile", (*_COMMON, "requirements/operator.txt", "operator")),
)


@dataclass(frozen=True)
class Image:
    """An image that was built: its full name, and the archive a node can import."""

    name: str
    archive: Path


@dataclass(frozen=True)
class Build:
    """What a builder is asked for."""

    context: Path
    dockerfile: Path
    name: str
    archive: Path


def build_project_images(layout: Layout, base: str, builder: Callable[[Build], None], tree: Path = REPOSITORY) -> dict[str, Image]:
    """Build what has changed in `tree`; `base` names what the images start from and is part of their hash."""
    images = {}
    for recipe in RECIPES:
        with _staged(layout, recipe, tree) as context:
            tag = _hash(context, recipe, base)
            image = Image(f"{recipe.name}:{tag}", layout.images / f"{recipe.name.rpartition('/')[2]}-{tag}.tar")
            if not image.archive.exists():
                say(f"building {image.name}")
                builder(Build(context, context / recipe.dockerfile, image.name, image.archive))
        os.utime(image.archive)
        images[recipe.key] = image
    return images


def prune_archives(layout: Layout) -> None:
    """Delete all but the last few archives of each image."""
    for recipe in RECIPES:
        # Twelve digits exactly: one image's name is the beginning of the other's.
        keep_newest(layout.images.glob(f"{recipe.name.rpartition('/')[2]}-{'[0-9a-f]' * 12}.tar"), _KEPT_ARCHIVES)


def find_stale(layout: Layout, names: Iterable[str]) -> list[str]:
    """Pick the project's images whose archive is gone."""
    ours = tuple(f"{recipe.name}:" for recipe in RECIPES)
    return [name for name in names if name.startswith(ours) and find_archive(layout, name) is None]


def find_archive(layout: Layout, name: str) -> Path | None:
    """Find the archive of one of the project's images by the image's name, if it is still kept."""
    archive = layout.images / f"{name.rpartition('/')[2].replace(':', '-')}.tar"
    return archive if archive.exists() else None


@contextmanager
def _staged(layout: Layout, recipe: Recipe, tree: Path) -> Iterator[Path]:
    """Copy the recipe's paths of `tree` aside; folders of killed attempts are deleted on the way."""
    layout.images.mkdir(parents=True, exist_ok=True)
    for stale in layout.images.glob("context-*"):
        remove_tree(stale)
    if not (tree / recipe.dockerfile).exists():
        sentence = f"{recipe.dockerfile} does not exist, so {recipe.name} cannot be built."
        raise LabError(sentence)
    context = Path(tempfile.mkdtemp(prefix="context-", dir=layout.images))
    context.chmod(0o755)
    try:
        for pattern in recipe.paths:
            for source in sorted(tree.glob(pattern)):
                _copy(source, context / source.relative_to(tree))
        yield context
    finally:
        remove_tree(context)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=_LEFT_OUT, symlinks=True)
    else:
        shutil.copy2(source, target)


def _hash(context: Path, recipe: Recipe, base: str) -> str:
    digest = hashlib.sha256(f"{base}\0{recipe.dockerfile}\0".encode())
    for path in sorted(path for path in context.rglob("*") if path.is_file()):
        executable = os.access(path, os.X_OK)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(context)}\0{executable}\0{content}\0".encode())
    return digest.hexdigest()[:12]
