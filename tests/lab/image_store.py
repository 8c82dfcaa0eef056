"""The images a node has: imported from archives, because there is no registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.progress import say
from tests.lab.shell import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.layout import Layout, Node


def list_images(layout: Layout, node: Node) -> frozenset[str]:
    """Name the images a node has."""
    return frozenset(_ctr(layout, node, "images", "list", "--quiet").split())


def load_image(layout: Layout, node: Node, name: str, archive: Path) -> None:
    """Import an image into a node that does not have it."""
    if name not in list_images(layout, node):
        _ctr(layout, node, "images", "import", archive)
        say(f"loaded {name} into node {node.name}")


def drop_images(layout: Layout, node: Node, names: list[str]) -> None:
    """Remove images from a node, except those that a container uses."""
    used = _ctr(layout, node, "containers", "list")
    for name in names:
        if name not in used:
            _ctr(layout, node, "images", "remove", name)


def _ctr(layout: Layout, node: Node, *arguments: str | Path) -> str:
    return run(["ctr", "--address", layout.containerd_socket(node), "--namespace", "k8s.io", *arguments])
