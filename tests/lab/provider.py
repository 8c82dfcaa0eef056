"""
Which cluster the tests, the demo and the benchmark run on.

In this order: one the developer names with SMTP_GATEWAY_KUBE_CONTEXT (never the current context silently; nothing is created or deleted
there but what the tests themselves make), kind where Docker works and kind is installed, and otherwise the lab.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import kind
from tests.lab.health import examine
from tests.lab.image_store import load_image
from tests.lab.layout import CONTEXT, NODES, STORAGE_CLASS, find_layout
from tests.lab.shell import LabError, run, succeeds

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.layout import Layout
    from tests.lab.project_images import Image

CONTEXT_VARIABLE = "SMTP_GATEWAY_KUBE_CONTEXT"
IMAGE_VARIABLES = {"gateway": "SMTP_GATEWAY_IMAGE", "operator": "SMTP_GATEWAY_OPERATOR_IMAGE"}


@dataclass(frozen=True)
class Cluster:
    """A running cluster, and what its users need to know of it; no storage class means the cluster's default."""

    provider: str
    kubeconfig: Path
    context: str
    kubectl: Path
    helm: Path
    storage_class: str | None
    nodes: tuple[str, ...]
    load: Callable[[Image], None]


def choose_provider() -> str:
    """Say which provider this machine and its environment ask for: `context`, `kind` or `lab`."""
    if os.environ.get(CONTEXT_VARIABLE):
        return "context"
    if shutil.which("kind") and succeeds(["docker", "info"]):
        return "kind"
    return "lab"


def connect() -> Cluster:
    """Find the running cluster, or say in one sentence why there is none."""
    connected = {"context": _connect_named, "kind": _connect_kind, "lab": _connect_lab}
    return connected[choose_provider()](find_layout())


def named_images() -> dict[str, str]:
    """Give the images of a cluster that the developer named: only the developer can put images there."""
    for key, variable in IMAGE_VARIABLES.items():
        if not os.environ.get(variable):
            sentence = f"With {CONTEXT_VARIABLE} set, name the {key}'s image (which the cluster can pull) in {variable}."
            raise LabError(sentence)
    return {key: os.environ[variable] for key, variable in IMAGE_VARIABLES.items()}


def _connect_named(layout: Layout) -> Cluster:
    context = os.environ[CONTEXT_VARIABLE]
    kubeconfig = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    kubectl = _find_tool(layout, "kubectl")
    known = run([kubectl, f"--kubeconfig={kubeconfig}", "config", "get-contexts", "--output=name"]).splitlines()
    if context not in known:
        sentence = f"{CONTEXT_VARIABLE} names the context {context!r}, but {kubeconfig} has none of that name."
        raise LabError(sentence)

    def load(image: Image) -> None:
        sentence = f"{image.name} cannot be loaded into the cluster of context {context!r}: use {', '.join(IMAGE_VARIABLES.values())}."
        raise LabError(sentence)

    nodes = _list_nodes(kubectl, kubeconfig, context)
    return Cluster("context", kubeconfig, context, kubectl, _find_tool(layout, "helm"), None, nodes, load)


def _connect_kind(layout: Layout) -> Cluster:
    if not kind.exists():
        sentence = "No cluster is up: run 'python3 -m tests.lab up' first."
        raise LabError(sentence)
    kubeconfig = kind.write_kubeconfig(layout)
    kubectl = _find_tool(layout, "kubectl")
    nodes = _list_nodes(kubectl, kubeconfig, kind.CONTEXT)
    return Cluster("kind", kubeconfig, kind.CONTEXT, kubectl, _find_tool(layout, "helm"), None, nodes, kind.load)


def _connect_lab(layout: Layout) -> Cluster:
    health = examine(layout)
    if health.state != "up":
        dead = [name for name, pid in health.daemons.items() if pid is None]
        why = f"{', '.join(dead)} not running" if dead else health.state
        sentence = f"No cluster is up ({why}): run 'python3 -m tests.lab up' first."
        raise LabError(sentence)

    def load(image: Image) -> None:
        for node in NODES:
            if node.name in health.nodes:
                load_image(layout, node, image.name, image.archive)

    kubectl, helm = layout.tool("kubectl"), layout.tool("helm")
    return Cluster("lab", layout.kubeconfig, CONTEXT, kubectl, helm, STORAGE_CLASS, health.nodes, load)


def _list_nodes(kubectl: Path, kubeconfig: Path, context: str) -> tuple[str, ...]:
    where = (f"--kubeconfig={kubeconfig}", f"--context={context}", "--request-timeout=10s")
    nodes = json.loads(run([kubectl, *where, "get", "nodes", "--output=json"]))["items"]
    return tuple(str(node["metadata"]["name"]) for node in nodes)


def _find_tool(layout: Layout, name: str) -> Path:
    """Take the developer's own tool, else the one built for the lab."""
    if found := shutil.which(name):
        return Path(found)
    if layout.tool(name).exists():
        return layout.tool(name)
    sentence = f"{name} is not on PATH."
    raise LabError(sentence)
