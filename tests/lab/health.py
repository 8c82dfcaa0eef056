"""What of the lab runs, as found on the machine and not as remembered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.lab.daemons import all_names, find_pid
from tests.lab.kubectl import kubectl
from tests.lab.layout import SECOND
from tests.lab.network import find_owner
from tests.lab.shell import LabError
from tests.lab.waiting import wait_until

if TYPE_CHECKING:
    from tests.lab.layout import Layout

_PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Health:
    """The lab at one moment: `up`, `partly` (a crash, or a boot under way) or `down`."""

    state: str
    nodes: tuple[str, ...] = ()
    daemons: dict[str, int | None] = field(default_factory=dict)

    @property
    def second_is_lost(self) -> bool:
        """Whether nothing but the second node is dead: the cluster is as good as up."""
        dead = [name for name, pid in self.daemons.items() if pid is None]
        return bool(dead) and all(name.endswith(f".{SECOND.name}") for name in dead)


def examine(layout: Layout) -> Health:
    """Look at processes, network and API."""
    daemons = {name: find_pid(layout.run, name) for name in all_names(layout.run)}
    if not layout.run.exists() and find_owner() != str(layout.root):
        return Health("down")
    if not layout.ready.exists() or None in daemons.values():
        return Health("partly", daemons=daemons)
    try:
        # A busy machine answers late, and a cluster in use must not be mistaken for a broken one.
        nodes = wait_until(lambda: find_ready_nodes(layout), _PATIENCE_SECONDS, "a node to be Ready")
    except LabError:
        return Health("partly", daemons=daemons)
    return Health("up", nodes, daemons)


def find_ready_nodes(layout: Layout) -> tuple[str, ...]:
    """Name the nodes that are Ready; none when the API does not answer."""
    try:
        nodes = json.loads(kubectl(layout, "--request-timeout=5s", "get", "nodes", "--output=json"))["items"]
    except LabError:
        return ()
    return tuple(str(node["metadata"]["name"]) for node in nodes if _is_ready(node))


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
