"""The lab's machines as tests break and mend them: its daemons, and its second node."""

from __future__ import annotations

import subprocess
import sys

from tests.lab import daemons, layout, teardown

PATIENCE = 300
"""Seconds for a command of the lab; a second node takes about half a minute."""


def runs(name: str) -> bool:
    """Tell whether a daemon of the lab is alive."""
    return daemons.find_pid(layout.find_layout().run, name) is not None


def stop(name: str) -> None:
    """SIGKILL a daemon of the lab."""
    daemons.stop(layout.find_layout().run, name)


def restart(name: str) -> None:
    """Kill a daemon of the lab and start it again, from a process of its own: it outlives the tests, and is no child of theirs."""
    code = "import sys; from tests.lab import daemons, layout; daemons.restart(layout.find_layout().run, sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, name], check=True)


def lose(node: layout.Node) -> None:
    """Let a node lose its power: everything that runs on it ends, and nobody tells the API server."""
    teardown.end_node(layout.find_layout(), node)


def bring_up(nodes: int) -> None:
    """Let the lab have so many nodes, all of them well, with the images that the first one has."""
    subprocess.run([sys.executable, "-m", "tests.lab", "up", f"--nodes={nodes}"], check=True, timeout=PATIENCE)
