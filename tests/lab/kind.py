"""The lab's stand-in on a machine with Docker: a kind cluster of the lab's name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.lab.progress import say
from tests.lab.shell import LabError, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.layout import Layout
    from tests.lab.project_images import Image

NAME = "smtp-gateway-lab"
CONTEXT = f"kind-{NAME}"


def exists() -> bool:
    """Tell whether our kind cluster exists."""
    return NAME in run(["kind", "get", "clusters"]).split()


def bring_up(layout: Layout, node_count: int) -> None:
    """Create our kind cluster; one that exists is left as it is. Raises `LabError` when that has fewer nodes than are asked for."""
    if exists():
        there = len(run(["kind", "get", "nodes", f"--name={NAME}"]).split())
        if there < node_count:
            sentence = f"The kind cluster {NAME} has {there} nodes, and kind cannot add one: run 'python3 -m tests.lab down' first."
            raise LabError(sentence)
        say(f"the kind cluster {NAME} is already up")
        return
    roles = [{"role": "control-plane"}, *({"role": "worker"} for _ in range(node_count - 1))]
    configuration = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": roles}
    run(["kind", "create", "cluster", f"--name={NAME}", "--wait=120s", "--config=-"], stdin=json.dumps(configuration))
    write_kubeconfig(layout)
    say(f"the kind cluster {NAME} is up")


def tear_down() -> None:
    """Delete our kind cluster."""
    run(["kind", "delete", "cluster", f"--name={NAME}"])


def write_kubeconfig(layout: Layout) -> Path:
    """Write the administrator's kubeconfig apart from the developer's own."""
    file = layout.root / "kind.kubeconfig"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(run(["kind", "get", "kubeconfig", f"--name={NAME}"]))
    return file


def load(image: Image) -> None:
    """Put an image into every node."""
    run(["kind", "load", "image-archive", image.archive, f"--name={NAME}"])
    say(f"loaded {image.name} into kind")
