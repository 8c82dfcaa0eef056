"""
Taking the lab away, whatever state a crash left it in.

All state is thrown away with it, so nobody is asked to stop politely; every step may find nothing to do, and the last one looks
whether anything of ours is left. Only our own things are touched: daemons by their pid files, shims by our sockets in their command
lines, pods by our control group, and mounts and loop devices by lying below the folder of the running cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.daemons import all_names, end_processes, find_processes, forget, stop
from tests.lab.files import mounts_below, remove_tree, unmount_below
from tests.lab.kubectl import kubectl
from tests.lab.layout import CGROUP, NODES, SECOND, Layout, Node
from tests.lab.network import disconnect, disconnect_second, find_owner, require_no_other_lab
from tests.lab.progress import say
from tests.lab.shell import LabError, run, succeeds
from tests.lab.volumes import volumes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_CGROUPS = Path("/sys/fs/cgroup")
_CNI_RESULTS = Path("/var/lib/cni")
_KUBELET_PLUGINS = Path("/var/lib/kubelet/device-plugins")
_SHIM_SOCKETS = Path("/run/containerd/s")
_CONTAINER_LOGS = Path("/var/log/containers")
_FIXED_PLACES = (
    _CNI_RESULTS / "results",
    _CNI_RESULTS,
    _KUBELET_PLUGINS,
    _KUBELET_PLUGINS.parent,
    _CONTAINER_LOGS,
    _SHIM_SOCKETS,
    _SHIM_SOCKETS.parent,
)


def tear_down(layout: Layout) -> None:
    """End, unmount and delete everything of the running cluster; binaries and images stay."""
    require_no_other_lab(layout)
    _end_daemons(layout, all_names(layout.run))
    _end_pods(layout, NODES)
    _remove_cgroups(CGROUP)
    _delete_traces(layout, NODES)
    disconnect(layout)
    unmount_below(layout.root)
    _delete_state(layout.run)
    if left := list(find_left(layout)):
        sentence = f"The lab is down, but this is left of it: {', '.join(left)}."
        raise LabError(sentence)
    say("the lab is down")


def end_node(layout: Layout, node: Node) -> list[str]:
    """End everything that runs on a node, at once and unknown to the API server, as a power cut does; name its daemons."""
    names = [name for name in all_names(layout.run) if name.endswith(f".{node.name}")]
    _end_daemons(layout, names)
    _end_pods(layout, (node,))
    return names


def remove_second(layout: Layout) -> None:
    """Take the second node out of a running cluster, as if it had never joined."""
    names = end_node(layout, SECOND)
    _delete_traces(layout, (SECOND,))
    disconnect_second()
    _delete_state(layout.node(SECOND))
    for name in names:
        forget(layout.run, name)
    here = f"--field-selector=spec.nodeName={SECOND.name}"
    kubectl(layout, "delete", "pods", "--all-namespaces", here, "--grace-period=0", "--force", "--wait=false")
    volumes = [volume.name for volume in volumes_of(layout, SECOND)]
    kubectl(layout, "delete", "persistentvolume", "--ignore-not-found", "--wait=false", *volumes)
    # One that is claimed stays for as long as its claim does, and one of the same name could not be made.
    for name in kubectl(layout, "get", "persistentvolume", "--ignore-not-found", "--output=name", *volumes).split():
        kubectl(layout, "patch", name, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    kubectl(layout, "delete", "node", "--ignore-not-found", SECOND.name)
    say(f"node {SECOND.name} is gone")


def find_left(layout: Layout) -> Iterator[str]:
    """Name what is left of the cluster on this machine."""
    yield from (f"mount {point}" for point in mounts_below(layout.root))
    yield from (f"loop device {device}" for device in _loops(layout.run))
    yield from (f"control group {group}" for group in _cgroups(CGROUP))
    yield from (f"network namespace {node.namespace}" for node in NODES if Path("/run/netns", node.namespace).exists())
    if find_owner() == str(layout.root):
        yield "the network link"
    if layout.run.exists():
        yield str(layout.run)


def _end_daemons(layout: Layout, names: list[str]) -> None:
    """End the kubelets first, so that no pod is started again while it is being ended."""
    for name in sorted(names, key=lambda name: not name.startswith("kubelet")):
        stop(layout.run, name)


def _end_pods(layout: Layout, nodes: tuple[Node, ...]) -> None:
    for node in nodes:
        end_processes(partial(find_processes, "containerd-shim", str(layout.containerd_socket(node))))
        end_processes(partial(_find_members, node.cgroup))
        _remove_cgroups(node.cgroup)


def _find_members(name: str) -> Iterator[int]:
    for file in [file for group in _cgroups(name) for file in group.rglob("cgroup.procs")]:
        yield from map(int, file.read_text().split())


def _remove_cgroups(name: str) -> None:
    for group in _cgroups(name):
        for folder, _, _ in os.walk(group, topdown=False):
            Path(folder).rmdir()


def _cgroups(name: str) -> list[Path]:
    """Find a control group in the one hierarchy (v2) or in each (v1)."""
    return [group for group in (_CGROUPS / name, *_CGROUPS.glob(f"*/{name}")) if group.is_dir()]


def _delete_traces(layout: Layout, nodes: tuple[Node, ...]) -> None:
    """Delete what the programs insist on keeping at fixed places, as far as it is ours."""
    for folder in map(layout.node, nodes):
        for address in folder.glob("containerd/state/*/k8s.io/*/address"):
            Path(address.read_text().removeprefix("unix://")).unlink(missing_ok=True)
        for sandbox in folder.glob("containerd/root/io.containerd.grpc.v1.cri/sandboxes/*"):
            for result in (_CNI_RESULTS / "results").glob(f"*-{sandbox.name}-*"):
                result.unlink()
        for link in _CONTAINER_LOGS.glob("*.log"):
            if link.is_symlink() and folder in link.readlink().parents:
                link.unlink()
        if folder.exists():
            for name in ("kubelet.sock", "kubelet_internal_checkpoint"):
                (_KUBELET_PLUGINS / name).unlink(missing_ok=True)
    for place in _FIXED_PLACES:
        with contextlib.suppress(OSError):
            place.rmdir()  # empty, or somebody else's


def _delete_state(folder: Path) -> None:
    unmount_below(folder)
    for device in _loops(folder):
        succeeds(["losetup", "--detach", device])
    remove_tree(folder)


def _loops(folder: Path) -> list[str]:
    """Find loop devices over files (even deleted ones) below a folder."""
    listed = run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"])
    devices = json.loads(listed)["loopdevices"] if listed.strip() else []
    return [device["name"] for device in devices if str(device["back-file"]).startswith(f"{folder}/")]
