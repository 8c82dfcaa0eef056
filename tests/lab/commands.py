"""What each command does; results go to standard output, everything else to standard error."""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.lab import boot, kind, project_images, prometheus_operator, teardown
from tests.lab.base_images import python_archive
from tests.lab.binaries import CHART_MODULES, ensure_binaries
from tests.lab.builders import buildah_builder, docker_builder, forget_buildah_images, forget_docker_images
from tests.lab.health import examine
from tests.lab.image_store import drop_images, list_images
from tests.lab.layout import NODES
from tests.lab.packages import ensure_packages
from tests.lab.previous import CHART, unpack_previous
from tests.lab.progress import say
from tests.lab.provider import choose_provider, connect, named_images
from tests.lab.shell import LabError
from tests.lab.volumes import recycle_volumes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.layout import Layout
    from tests.lab.provider import Cluster

NOT_UP = 3


def up(layout: Layout, arguments: argparse.Namespace) -> int:
    """Bring a cluster up and say how to use it."""
    provider = choose_provider()
    if provider == "lab":
        with _alone(layout):
            boot.bring_up(layout, arguments.nodes)
    elif provider == "kind":
        kind.bring_up(layout, arguments.nodes or 1)
    cluster = connect()
    print(f"export KUBECONFIG={cluster.kubeconfig}")
    print(f"export PATH={cluster.kubectl.parent}:$PATH")
    return 0


def down(layout: Layout, _: argparse.Namespace) -> int:
    """Take the cluster away; one that the developer named is not ours to delete."""
    provider = choose_provider()
    if provider == "lab":
        with _alone(layout):
            teardown.tear_down(layout)
    elif provider == "kind":
        kind.tear_down()
    else:
        say("the cluster was named by you: nothing is deleted there")
    return 0


def status(layout: Layout, arguments: argparse.Namespace) -> int:
    """Say what runs; exit code 0 only when the cluster is up."""
    found = _describe(layout)
    if arguments.output == "json":
        print(json.dumps(found, indent=2))
    else:
        for key, value in found.items():
            print(f"{key + ':':<12} {_one_line(value)}")
    return 0 if found["state"] == "up" else NOT_UP


def images(layout: Layout, arguments: argparse.Namespace) -> int:
    """Build the project's images and load them into the cluster."""
    provider = choose_provider()
    if provider == "context":
        names = named_images()
    else:
        with _alone(layout):
            names = _build_and_load(layout, provider)
    if arguments.output == "json":
        print(json.dumps(names))
    else:
        print("\n".join(names.values()))
    return 0


def previous(layout: Layout, arguments: argparse.Namespace) -> int:
    """Build the previous version's images and load them into the cluster, and say where its chart is."""
    provider = choose_provider()
    if provider == "context":
        sentence = "Images of the previous version cannot be brought into a cluster that you named: they are loaded, not pulled."
        raise LabError(sentence)
    with _alone(layout):
        tree = unpack_previous(layout)
        found = {**_build_and_load(layout, provider, tree), "chart": str(tree / CHART), "commit": tree.name}
    if arguments.output == "json":
        print(json.dumps(found))
    else:
        print("\n".join(found.values()))
    return 0


def recycle(layout: Layout, _: argparse.Namespace) -> int:
    """Empty the volumes whose claims are gone; other providers make new ones by themselves."""
    if choose_provider() == "lab":
        connect()
        print("\n".join(recycle_volumes(layout)))
    return 0


def monitoring(layout: Layout, _: argparse.Namespace) -> int:
    """Build the Prometheus Operator and the image of its pods, and load that into the cluster; print where they are."""
    with _alone(layout):
        image = prometheus_operator.ensure_image(layout)
        connect().load(image)
    print(json.dumps({"operator": str(layout.tool(prometheus_operator.NAME)), "image": image.name}))
    return 0


def kubeconfig(_: Layout, __: argparse.Namespace) -> int:
    """Print the path of the kubeconfig."""
    print(connect().kubeconfig)
    return 0


def chart_tools(layout: Layout, _: argparse.Namespace) -> int:
    """Build what tests the chart, helm-unittest and kubeconform; print the folder with them."""
    with _alone(layout):
        ensure_binaries(layout, CHART_MODULES)
    print(layout.tools)
    return 0


def path(layout: Layout, _: argparse.Namespace) -> int:
    """Print the folder with kubectl and helm."""
    print(layout.tools)
    return 0


def _build_and_load(layout: Layout, provider: str, tree: Path = project_images.REPOSITORY) -> dict[str, str]:
    if provider == "lab":
        ensure_packages(layout)
        built = project_images.build_project_images(layout, python_archive(layout).name, buildah_builder(layout), tree)
    else:
        built = project_images.build_project_images(layout, "docker", docker_builder(layout), tree)
    try:
        cluster = connect()
    except LabError:
        say("no cluster is up, so the images are built and kept, but not loaded")
    else:
        for image in built.values():
            cluster.load(image)
        _prune(layout, cluster)
    return {key: image.name for key, image in built.items()}


def _prune(layout: Layout, cluster: Cluster) -> None:
    project_images.prune_archives(layout)
    if cluster.provider == "kind":
        forget_docker_images(layout)
        return
    forget_buildah_images(layout)
    for node in NODES:
        if node.name in cluster.nodes:
            drop_images(layout, node, project_images.find_stale(layout, list_images(layout, node)))


def _describe(layout: Layout) -> dict[str, object]:
    provider = choose_provider()
    if provider != "lab":
        try:
            cluster = connect()
        except LabError as why:
            return {"state": "down", "provider": provider, "why": why.sentence}
        return {"state": "up", "provider": provider, "nodes": list(cluster.nodes), "kubeconfig": str(cluster.kubeconfig)}
    health = examine(layout)
    loaded = list_images(layout, NODES[0]) if health.state == "up" else frozenset()
    return {
        "state": health.state,
        "provider": provider,
        "nodes": list(health.nodes),
        "daemons": health.daemons,
        "kubeconfig": str(layout.kubeconfig),
        "images": sorted(name for name in loaded if name.startswith("localhost/")),
    }


def _one_line(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {pid or 'DEAD'}" for name, pid in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Let one command at a time change something; the kernel drops the lock of a killed one."""
    layout.root.mkdir(parents=True, exist_ok=True)
    with layout.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another lab command to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
