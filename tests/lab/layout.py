"""
Where everything of the lab lives and what it is called: the only place that knows paths, names and addresses.

Everything that is kept (binaries, image archives, build storage) lies beside `run/`; everything that belongs to the running
cluster lies below `run/`, so that throwing the cluster away is: end its processes, unmount what is below, delete the folder.

The machine's own network sees one link and two routes. The nodes form a chain, so that the machine need not forward anything:

    machine 10.254.0.1 ── 10.254.0.2 lab 10.254.0.5 ── 10.254.0.6 lab-2
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HOST_LINK = "smtplab0"
HOST_ADDRESS = "10.254.0.1"
POD_RANGE = "10.244.0.0/16"
SERVICE_RANGE = "10.96.0.0/16"
LINK_RANGE = "10.254.0.0/29"
DNS_ADDRESS = "10.96.0.10"
API_ADDRESS = "10.96.0.1"
CGROUP = "smtp-gateway-lab"
CNI_NETWORK = "smtp-gateway-lab"
CONTEXT = "smtp-gateway-lab"
STORAGE_CLASS = "lab"
SMALL_STORAGE_CLASS = "lab-small"


@dataclass(frozen=True)
class Node:
    """One machine of the cluster, played by a network namespace of this one."""

    name: str
    address: str
    pod_subnet: str
    zone: str

    @property
    def namespace(self) -> str:
        """Name the network namespace, recognisably ours on a shared machine."""
        return f"smtp-gateway-{self.name}"

    @property
    def cgroup(self) -> str:
        """Name the control group above all pods of this node."""
        return f"{CGROUP}/{self.name}"


FIRST = Node(name="lab", address="10.254.0.2", pod_subnet="10.244.0.0/24", zone="zone-1")
SECOND = Node(name="lab-2", address="10.254.0.6", pod_subnet="10.244.1.0/24", zone="zone-2")
SECOND_GATEWAY = "10.254.0.5"
NODES = (FIRST, SECOND)
API_SERVER = f"https://{FIRST.address}:6443"


@dataclass(frozen=True)
class Layout:
    """The folders of one lab; `root` is `$SMTP_GATEWAY_LAB` or a folder in the user's cache."""

    root: Path

    @property
    def binaries(self) -> Path:
        """Hold one folder per Go module and content."""
        return self.root / "bin"

    @property
    def tools(self) -> Path:
        """Hold symbolic links to the binaries in use: what a developer puts on PATH."""
        return self.root / "current" / "bin"

    @property
    def images(self) -> Path:
        """Hold image archives, each with its content's hash in its name."""
        return self.root / "images"

    @property
    def storage(self) -> Path:
        """Hold buildah's own storage, apart from the developer's."""
        return self.root / "storage"

    @property
    def logs(self) -> Path:
        """Hold the logs of builds; those of daemons lie in `run`."""
        return self.root / "log"

    @property
    def run(self) -> Path:
        """Hold the running cluster, and nothing that outlives it."""
        return self.root / "run"

    @property
    def pki(self) -> Path:
        """Hold the running cluster's certificates."""
        return self.run / "pki"

    @property
    def kubeconfig(self) -> Path:
        """Be the administrator's way in."""
        return self.run / "admin.kubeconfig"

    @property
    def ready(self) -> Path:
        """Exist only when a boot came to its end."""
        return self.run / "ready"

    @property
    def lock(self) -> Path:
        """Be held by the one command that may change something."""
        return self.root / "lock"

    def tool(self, name: str) -> Path:
        """Give the path of one of our binaries."""
        return self.tools / name

    def node(self, node: Node) -> Path:
        """Give the folder of one node of the running cluster."""
        return self.run / "nodes" / node.name

    def containerd_socket(self, node: Node) -> Path:
        """Give the socket of a node's containerd."""
        return self.node(node) / "containerd.sock"


def find_layout() -> Layout:
    """Find the lab's folder from the environment."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Layout(Path(os.environ.get("SMTP_GATEWAY_LAB") or cache / "smtp-gateway-lab").absolute())
