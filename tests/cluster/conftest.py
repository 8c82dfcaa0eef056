"""A gateway in a real cluster: the operator installed by its chart, a receiving server next door, a pod to send from.

Everything lives in two namespaces of this run's own, and goes with them; the cluster itself and its CRD stay.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.lab.provider import connect
from tests.support import releases, world
from tests.support.evidence import evidence
from tests.support.gateways import Gateway
from tests.support.kube import Kube

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

CHART = releases.CHART
RELEASE = releases.RELEASE
image_values = releases.image_values
NAMESPACES = pytest.StashKey[list[Kube]]()
"""Those of this run."""


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """The images of this checkout, loaded into the cluster."""
    built = subprocess.run([sys.executable, "-m", "tests.lab", "images", "-o", "json"], check=True, capture_output=True, text=True)
    images: dict[str, str] = json.loads(built.stdout)
    return images


@pytest.fixture(scope="session")
def kube(images: dict[str, str], pytestconfig: pytest.Config) -> Iterator[Kube]:
    """The namespace of the gateways, with a pod to send mail from."""
    name = f"smtp-gateway-test-{secrets.token_hex(3)}"
    kube = Kube(connect(), name)
    pytestconfig.stash[NAMESPACES] = [kube]
    kube.apply(world.namespace(name))
    try:
        kube.apply(*world.client(images["gateway"]))
        kube("rollout", "status", "deployment/client", "--timeout=120s")
        yield kube
    finally:
        # All of them at once: most of it is waiting for their pods.
        names = [one.namespace for one in pytestconfig.stash[NAMESPACES]]
        kube("delete", "namespace", *names, "--ignore-not-found", "--timeout=120s")
        recycle_volumes()


@pytest.fixture(scope="session")
def further(kube: Kube, pytestconfig: pytest.Config) -> Callable[[str], Kube]:
    """What makes a further namespace; it goes with that of the gateways."""

    def make(suffix: str) -> Kube:
        made = kube.within(f"{kube.namespace}-{suffix}")
        pytestconfig.stash[NAMESPACES].append(made)
        made.apply(world.namespace(made.namespace))
        return made

    return make


@pytest.fixture(scope="session")
def sink(further: Callable[[str], Kube], images: dict[str, str]) -> Kube:
    """The namespace of the receiving server."""
    sink = further("sink")
    leaf = trustme.CA().issue_cert(f"sink.{sink.namespace}.svc")
    certificate = (leaf.cert_chain_pems[0].bytes().decode(), leaf.private_key_pem.bytes().decode())
    sink.apply(*world.sink(images["gateway"], certificate))
    sink("rollout", "status", "deployment/sink", "--timeout=120s")
    return sink


@pytest.fixture
def away(sink: Kube) -> Iterator[Kube]:
    """The next hop, away."""
    world.scale_sink(sink, 0)
    yield sink
    world.scale_sink(sink, 1)


@pytest.fixture(scope="session")
def operator(kube: Kube, images: dict[str, str]) -> Iterator[str]:
    """The operator, installed as users install it; the name of its Deployment."""
    kube.helm("upgrade", "--install", RELEASE, CHART, "--take-ownership", "--wait", "--timeout=180s", *image_values(images))
    yield RELEASE
    kube.helm("uninstall", RELEASE)  # what it leaves for a moment goes with the namespace, which is waited for


@pytest.fixture(scope="session")
def gateway(kube: Kube, sink: Kube, operator: str) -> Iterator[Gateway]:
    """A Ready gateway that relays to the sink."""
    assert operator
    gateway = Gateway(kube, "mail", f"sink.{sink.namespace}.svc")
    gateway.create()
    yield gateway
    gateway.delete()


def recycle_volumes() -> None:
    """Empty the volumes that the run's claims left, where the lab owns them."""
    if not os.environ.get("SMTP_GATEWAY_KUBE_CONTEXT"):
        subprocess.run([sys.executable, "-m", "tests.lab", "recycle"], check=False, capture_output=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs the lab where another cluster is used; there it was asked for, so it is no skip. Releases come first."""
    if os.environ.get("SMTP_GATEWAY_KUBE_CONTEXT"):
        items[:] = [item for item in items if not item.get_closest_marker("lab")]
    items.sort(key=lambda item: item.path.stem != "test_release")  # they move the definition, which every operator of the cluster uses


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a test that failed what the cluster tells about it, while its objects are still there."""
    report = yield
    if report.failed and call.when != "teardown":
        for kube in item.config.stash.get(NAMESPACES, []):
            report.sections += [(f"{kube.namespace}: {title}", text) for title, text in evidence(kube)]
    return report


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return each condition's status and reason."""
    return {one["type"]: (one["status"], one["reason"]) for one in status.get("conditions", [])}
