"""
The cluster's network: a namespace per node, one link and three routes on the machine, nothing else.

The machine's firewall and its forwarding stay as they are: kube-proxy's rules live inside the nodes' namespaces, and pods cannot
reach beyond the machine's end of the link, so that no test mail ever leaves.
"""

from __future__ import annotations

import ipaddress
import json

from tests.lab.layout import (
    FIRST,
    HOST_ADDRESS,
    HOST_LINK,
    LINK_RANGE,
    NODES,
    POD_RANGE,
    SECOND,
    SECOND_GATEWAY,
    SERVICE_RANGE,
    Layout,
    Node,
)
from tests.lab.shell import LabError, run, succeeds

_RANGES = (LINK_RANGE, POD_RANGE, SERVICE_RANGE)


def require_free_network(layout: Layout) -> None:
    """Refuse when somebody else routes our ranges."""
    require_no_other_lab(layout)
    for route in json.loads(run(["ip", "-json", "-4", "route", "show"])):
        if route["dst"] != "default" and route.get("dev") != HOST_LINK:
            _require_apart(ipaddress.ip_network(route["dst"]), route.get("dev", "?"))


def require_no_other_lab(layout: Layout) -> None:
    """Refuse when another lab has our names, lest its pods be taken for ours."""
    if (owner := find_owner()) not in (None, str(layout.root)):
        sentence = f"Another lab is up on this machine: SMTP_GATEWAY_LAB={owner} names it."
        raise LabError(sentence)


def find_owner() -> str | None:
    """Tell whose lab has its link on this machine: the link's alias says it."""
    if not succeeds(["ip", "link", "show", HOST_LINK]):
        return None
    link = json.loads(run(["ip", "-json", "link", "show", HOST_LINK]))[0]
    return str(link.get("ifalias", "unknown"))


def connect_first(layout: Layout) -> None:
    """Give the first node its namespace, its link to the machine, and the machine its routes to pods and services."""
    _add_namespace(FIRST)
    _ip(f"link add {HOST_LINK} type veth peer name uplink netns {FIRST.namespace}")
    run(["ip", "link", "set", HOST_LINK, "alias", layout.root])
    _ip(f"address add {HOST_ADDRESS}/30 dev {HOST_LINK}")
    _ip(f"link set {HOST_LINK} up")
    _address(FIRST, "uplink", f"{FIRST.address}/30", HOST_ADDRESS)
    for subnet in (POD_RANGE, SERVICE_RANGE, f"{SECOND_GATEWAY}/30"):
        _ip(f"route add {ipaddress.ip_network(subnet, strict=False)} via {FIRST.address}")


def connect_second() -> None:
    """Hang the second node on the first, so that the machine itself need not forward anything."""
    _add_namespace(SECOND)
    _ip(f"-netns {FIRST.namespace} link add downlink type veth peer name uplink netns {SECOND.namespace}")
    _ip(f"-netns {FIRST.namespace} address add {SECOND_GATEWAY}/30 dev downlink")
    _ip(f"-netns {FIRST.namespace} link set downlink up")
    _address(SECOND, "uplink", f"{SECOND.address}/30", SECOND_GATEWAY)
    _ip(f"-netns {FIRST.namespace} route add {SECOND.pod_subnet} via {SECOND.address}")


def disconnect_second() -> None:
    """Take away the second node's namespace, with it both ends of its link and the route to its pods."""
    succeeds(["ip", "netns", "delete", SECOND.namespace])


def disconnect(layout: Layout) -> None:
    """Take away the link, with it its routes, and the nodes' namespaces."""
    require_no_other_lab(layout)
    succeeds(["ip", "link", "delete", HOST_LINK])
    for node in NODES:
        succeeds(["ip", "netns", "delete", node.namespace])


def _add_namespace(node: Node) -> None:
    _ip(f"netns add {node.namespace}")
    _ip(f"-netns {node.namespace} link set lo up")
    sysctl = ("net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1")
    succeeds(["modprobe", "--all", "br_netfilter", "overlay", "nf_conntrack", "loop"])  # may be built in, or absent
    for setting in sysctl:
        run(["nsenter", f"--net=/run/netns/{node.namespace}", "sysctl", "-qw", setting])


def _address(node: Node, link: str, address: str, gateway: str) -> None:
    _ip(f"-netns {node.namespace} address add {address} dev {link}")
    _ip(f"-netns {node.namespace} link set {link} up")
    _ip(f"-netns {node.namespace} route add default via {gateway}")


def _require_apart(taken: ipaddress.IPv4Network | ipaddress.IPv6Network, device: str) -> None:
    for ours in map(ipaddress.ip_network, _RANGES):
        if taken.overlaps(ours):
            sentence = f"The lab needs {ours}, but this machine already routes {taken} to {device}."
            raise LabError(sentence)


def _ip(arguments: str) -> None:
    run(["ip", *arguments.split()])
