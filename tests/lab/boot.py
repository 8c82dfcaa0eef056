"""
Bringing the lab up: what can happen at once does, and "up" is said only when a name has been looked up inside the cluster.

Whatever an earlier, killed attempt left behind is taken away first. A boot marks its end with a file, so that a half-made cluster
is never taken for a whole one.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import control_plane
from tests.lab import node as machine
from tests.lab.base_images import COREDNS_IMAGE, PYTHON_IMAGE, ensure_program_images, ensure_python_image
from tests.lab.binaries import ensure_binaries
from tests.lab.daemons import log_file, require_alive, start
from tests.lab.health import examine, find_ready_nodes
from tests.lab.image_store import list_images, load_image
from tests.lab.kubeconfig import write_kubeconfig
from tests.lab.kubectl import kubectl
from tests.lab.layout import DNS_ADDRESS, FIRST, NODES, SECOND, Layout, Node
from tests.lab.network import connect_first, connect_second, require_free_network
from tests.lab.packages import ensure_packages
from tests.lab.pki import make_node_certificate, make_pki
from tests.lab.progress import say
from tests.lab.project_images import find_archive
from tests.lab.resolver import resolves
from tests.lab.shell import LabError
from tests.lab.teardown import remove_second, tear_down
from tests.lab.volumes import manifests, mount_volumes
from tests.lab.waiting import wait_until

if TYPE_CHECKING:
    from tests.lab.daemons import Daemon

_MANIFESTS = Path(__file__).parent / "manifests"
_API_SECONDS = 90
_NODE_SECONDS = 90
_SOCKET_SECONDS = 30
_KNOWN_NAME = "kubernetes.default.svc.cluster.local"


def bring_up(layout: Layout, node_count: int | None) -> None:
    """Bring up a cluster of so many nodes; without a number, one that is up is left alone.

    A second node is added to a cluster that runs, and taken out of it. One that is dead is taken out first, whatever is asked for.
    """
    health = examine(layout)
    if health.state == "up" and node_count in (None, len(health.nodes)):
        say(f"the lab is already up: {', '.join(health.nodes)}")
        return
    if health.state == "up" and node_count == 1:
        remove_second(layout)
        return
    if health.second_is_lost:
        remove_second(layout)
        bring_up(layout, node_count)
        return
    if health.state == "partly":
        say("clearing away what is left of an earlier lab")
        tear_down(layout)
    ensure_packages(layout)
    if health.state != "up":
        require_free_network(layout)
    archives = _prepare(layout)
    if health.state != "up":
        _boot(layout, archives)
    if node_count == len(NODES):
        _add_second(layout, archives)
    layout.ready.touch()
    say("the lab is up")


def _prepare(layout: Layout) -> dict[str, Path]:
    """Make everything that is kept between clusters; the Debian image waits for the network, Go for the processor."""
    with ThreadPoolExecutor() as pool:
        python = pool.submit(ensure_python_image, layout)
        ensure_binaries(layout)
        python_archive = python.result()
    return {**ensure_program_images(layout), PYTHON_IMAGE: python_archive}


def _boot(layout: Layout, archives: dict[str, Path]) -> None:
    layout.run.mkdir(parents=True)
    connect_first(layout)
    make_pki(layout.pki)
    write_kubeconfig(layout, "admin")
    with ThreadPoolExecutor() as pool:
        _start(layout, control_plane.etcd(layout))
        _start(layout, control_plane.api_server(layout))
        prepared = pool.submit(_prepare_node, layout, FIRST, archives)
        wait_until(lambda: _api_is_ready(layout), _API_SECONDS, "the API server to be ready", log=_log(layout, "kube-apiserver"))
        say("the API server is ready")
        _start(layout, control_plane.controller_manager(layout))
        _start(layout, control_plane.scheduler(layout))
        kubectl(layout, "apply", f"--filename={_MANIFESTS}")
        prepared.result()
        python = pool.submit(load_image, layout, FIRST, PYTHON_IMAGE, archives[PYTHON_IMAGE])
        _join(layout, FIRST)
        wait_until(lambda: resolves(_KNOWN_NAME, DNS_ADDRESS), _NODE_SECONDS, "names to be answered", log=_log(layout, "kubelet.lab"))
        say("names inside the cluster are answered")
        python.result()


def _add_second(layout: Layout, archives: dict[str, Path]) -> None:
    if layout.node(SECOND).exists():
        remove_second(layout)
    connect_second()
    _prepare_node(layout, SECOND, archives)
    _join(layout, SECOND)
    for name in list_images(layout, FIRST):
        archive = archives.get(name) or find_archive(layout, name)
        if archive is not None:
            load_image(layout, SECOND, name, archive)


def _prepare_node(layout: Layout, node: Node, archives: dict[str, Path]) -> None:
    """Do for a node what needs no API: certificate, containerd with its first images, volumes."""
    make_node_certificate(layout.pki, node)
    machine.make_cgroup(node)
    daemon = machine.containerd(layout, node)
    _start(layout, daemon)
    mount_volumes(layout, node)
    socket = layout.containerd_socket(node)
    wait_until(socket.is_socket, _SOCKET_SECONDS, "containerd to listen", log=_log(layout, daemon.name))
    for name in (machine.PAUSE_IMAGE, COREDNS_IMAGE):
        load_image(layout, node, name, archives[name])


def _join(layout: Layout, node: Node) -> None:
    """Start a node's kubelet and kube-proxy, and wait until the cluster counts on it."""
    kubelet = machine.kubelet(layout, node)
    _start(layout, kubelet)
    _start(layout, machine.kube_proxy(layout, node))
    kubectl(layout, "apply", "--filename=-", stdin=manifests(layout, node))
    wait_until(
        lambda: require_alive(layout.run) and node.name in find_ready_nodes(layout),
        _NODE_SECONDS,
        f"node {node.name} to be Ready",
        log=_log(layout, kubelet.name),
    )
    say(f"node {node.name} is Ready")
    subnet = {"spec": {"podCIDR": node.pod_subnet, "podCIDRs": [node.pod_subnet]}}
    kubectl(layout, "patch", "node", node.name, f"--patch={json.dumps(subnet)}")


def _api_is_ready(layout: Layout) -> bool:
    require_alive(layout.run)
    try:
        kubectl(layout, "--request-timeout=2s", "get", "--raw=/readyz")
    except LabError:
        return False
    return True


def _start(layout: Layout, daemon: Daemon) -> None:
    start(layout.run, daemon)


def _log(layout: Layout, name: str) -> Path:
    return log_file(layout.run, name)
