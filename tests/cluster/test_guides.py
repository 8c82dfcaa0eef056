"""The guides of the documentation, followed as a new user follows them: their own commands, in order, in one shell."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.conftest import NAMESPACES, RELEASE, recycle_volumes
from tests.lab.provider import connect
from tests.support import pages
from tests.support.kube import Kube
from tests.support.ports import free_port
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ("docs/quick-start.md", "docs/installation.md")


@pytest.fixture
def newcomer(pytestconfig: pytest.Config) -> Iterator[Kube]:
    """A namespace that is not there yet, for a guide to make, and nothing left of it afterwards."""
    kube = Kube(connect(), f"smtp-gateway-guide-{secrets.token_hex(3)}")
    shown = pytestconfig.stash.setdefault(NAMESPACES, [])
    shown.append(kube)
    yield kube
    shown.remove(kube)
    kube.helm("uninstall", RELEASE, "--ignore-not-found")
    kube("delete", "namespace", kube.namespace, "--ignore-not-found", "--timeout=120s")
    recycle_volumes()


@pytest.fixture
def terminal(newcomer: Kube, images: dict[str, str], tmp_path: Path) -> Iterator[Terminal]:
    """A shell in a checkout, with kubectl and helm on the path and what the guides say is the reader's own."""
    for entry in ("charts", "crds", "examples"):
        (tmp_path / entry).symlink_to(ROOT / entry)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(newcomer("config", "view", "--raw", "--minify", "--flatten"))
    tools = {str(tool.parent) for tool in (newcomer.cluster.kubectl, newcomer.cluster.helm)}
    own = {"NAMESPACE": newcomer.namespace, "PORT": str(free_port())}
    own |= {"GATEWAY_IMAGE": images["gateway"], "OPERATOR_IMAGE": images["operator"]}
    path = os.pathsep.join([*sorted(tools), os.environ["PATH"]])
    environment = {"PATH": path, "HOME": str(tmp_path), "KUBECONFIG": str(kubeconfig)} | own
    with Terminal(tmp_path, environment) as terminal:
        yield terminal


@pytest.mark.timeout(600)
@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_does_what_it_says(guide: str, terminal: Terminal) -> None:
    """Every command succeeds, and prints what the page shows."""
    for step in pages.to_run(ROOT / guide):
        terminal.follow(step)
