"""
A node: containerd, kubelet and kube-proxy in the node's namespace, everything they keep below the node's folder.

What these programs would otherwise scatter over the machine (runc's state, pod namespaces, pod logs, plug-ins) is named here, so
that deleting the node's folder leaves nothing behind. Pods live in control groups of our own name.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.lab.daemons import Daemon, flags
from tests.lab.kubeconfig import write_kubeconfig
from tests.lab.layout import CNI_NETWORK, DNS_ADDRESS, POD_RANGE, Layout, Node

PAUSE_IMAGE = "localhost/pause:lab"
_CGROUPS = Path("/sys/fs/cgroup")
_CONTAINERD = """\
version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true  # some machines forbid lowering it, and runc then fails for every pod
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{folder}/runc"
"""


def containerd(layout: Layout, node: Node) -> Daemon:
    """Write containerd's configuration and the pods' network, and describe the daemon."""
    folder = layout.node(node)
    (folder / "cni").mkdir(parents=True, exist_ok=True)
    (folder / "containerd.toml").write_text(_CONTAINERD.format(folder=folder, pause=PAUSE_IMAGE))
    (folder / "cni" / "10-lab.conflist").write_text(json.dumps(_pod_network(folder, node)))
    return Daemon(f"containerd.{node.name}", node.namespace, ("containerd", "--config", str(folder / "containerd.toml")))


def kubelet(layout: Layout, node: Node) -> Daemon:
    """Write the kubelet's configuration, and describe the daemon."""
    folder = layout.node(node)
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (folder / "kubelet.json").write_text(json.dumps(_kubelet_configuration(layout, node)))
    arguments = flags(
        config=folder / "kubelet.json",
        kubeconfig=write_kubeconfig(layout, f"kubelet-{node.name}"),
        hostname_override=node.name,
        node_ip=node.address,
        root_dir=folder / "kubelet",
        node_labels=f"topology.kubernetes.io/zone={node.zone}",
    )
    return Daemon(f"kubelet.{node.name}", node.namespace, (str(layout.tool("kubelet")), *arguments))


def kube_proxy(layout: Layout, node: Node) -> Daemon:
    """Describe kube-proxy, whose rules stay within the node's namespace."""
    arguments = flags(
        kubeconfig=write_kubeconfig(layout, "proxy"),
        hostname_override=node.name,
        cluster_cidr=POD_RANGE,
        proxy_mode="iptables",
        conntrack_max_per_core=0,
        oom_score_adj=0,
    )
    return Daemon(f"kube-proxy.{node.name}", node.namespace, (str(layout.tool("kube-proxy")), *arguments))


def make_cgroup(node: Node) -> None:
    """Make the control group above the node's pods, in the one hierarchy (v2) or in each of them (v1)."""
    unified = (_CGROUPS / "cgroup.controllers").exists()
    for hierarchy in [_CGROUPS] if unified else sorted(_CGROUPS.iterdir()):
        group = hierarchy / node.cgroup
        group.mkdir(parents=True, exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not unified and (group / name).exists():
                _inherit(hierarchy, group, name)


def _inherit(hierarchy: Path, group: Path, name: str) -> None:
    """Copy a cpuset downwards: on v1 a new group has none, and may run nothing."""
    (group.parent / name).write_text((hierarchy / name).read_text())
    (group / name).write_text((hierarchy / name).read_text())


def _pod_network(folder: Path, node: Node) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "dataDir": str(folder / "cni" / "ipam"),
        "ranges": [[{"subnet": node.pod_subnet}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": f"{CNI_NETWORK}-{node.name}", "plugins": [bridge, ports]}


def _kubelet_configuration(layout: Layout, node: Node) -> dict[str, object]:
    folder = layout.node(node)
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "authentication": {
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
            "webhook": {"enabled": True},
            "anonymous": {"enabled": False},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.pki / f"kubelet-{node.name}.crt"),
        "tlsPrivateKeyFile": str(layout.pki / f"kubelet-{node.name}.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "oomScoreAdj": 0,
        "failSwapOn": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket(node)}",
        "resolvConf": str(folder / "resolv.conf"),
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        # Renewed at a quarter of it: every 5 seconds, for the controller manager's patience with nodes (`control_plane`).
        "nodeLeaseDurationSeconds": 20,
        # Images came without a registry: one that is thrown away to save space cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }
