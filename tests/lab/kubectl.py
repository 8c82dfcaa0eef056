"""Speaking to the running cluster, as its administrator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.shell import Setting, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.layout import Layout


def kubectl(layout: Layout, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl on the lab; its cache of what the API offers goes when the cluster goes."""
    command: list[str | Path] = [layout.tool("kubectl"), f"--kubeconfig={layout.kubeconfig}", *arguments]
    return run(command, stdin=stdin, setting=Setting(env={"KUBECACHEDIR": str(layout.run / "kubectl-cache")}))
