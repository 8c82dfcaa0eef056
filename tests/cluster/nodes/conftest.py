"""The lab with a second node, for the length of these tests.

All that the tests stand on (operator, next hop, client) runs on the first node: the second is cordoned but while a test uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.layout import FIRST, SECOND
from tests.lab.provider import connect
from tests.support import machines
from tests.support.gateways import Gateway
from tests.support.kube import Kube

if TYPE_CHECKING:
    from collections.abc import Iterator

SPREAD = {
    "topologyKey": "kubernetes.io/hostname",
    "maxSkew": 1,
    "whenUnsatisfiable": "DoNotSchedule",
    "nodeTaintsPolicy": "Honor",
}
"""One pod a node, of the nodes that take any."""


@pytest.fixture(scope="session")
def images(images: dict[str, str]) -> Iterator[dict[str, str]]:
    """The images of this checkout, on both nodes: whoever asks for them gets the second node, too, which goes last."""
    machines.bring_up(2)
    try:
        Kube(connect())("cordon", SECOND.name)
        yield images
    finally:
        machines.bring_up(1)


@pytest.fixture
def second(kube: Kube) -> Iterator[str]:
    """The name of the second node, which takes pods now; one that a test lost is there again."""
    machines.bring_up(2)
    kube("uncordon", SECOND.name)
    yield SECOND.name
    if kube.exists("node", SECOND.name):
        kube("cordon", SECOND.name)


@pytest.fixture
def fleet(gateway: Gateway, second: str) -> Iterator[Gateway]:
    """A gateway with one pod a node, each with a volume that its node alone has."""
    fleet = Gateway(gateway.kube, "spread", gateway.smarthost)
    fleet.create(replicas=2, podTemplate={"topologySpreadConstraints": [SPREAD]})
    assert {node_of(fleet, pod) for pod in pods(fleet)} == {FIRST.name, second}
    yield fleet
    fleet.delete()
    # A volume holds its pod fast to a node, and that of the next test is to be free.
    fleet.kube("delete", "pvc", "-l", f"app.kubernetes.io/instance={fleet.name}", "--timeout=120s")


def pods(gateway: Gateway) -> list[str]:
    """Return the names of the pods of two."""
    return [f"{gateway.name}-{number}" for number in range(2)]


def node_of(gateway: Gateway, pod: str) -> str:
    """Return where a pod runs; empty when it does nowhere."""
    return str(gateway.kube.get("pod", pod)["spec"].get("nodeName", ""))


@pytest.fixture
def far(fleet: Gateway, second: str) -> str:
    """The pod on the second node."""
    return next(pod for pod in pods(fleet) if node_of(fleet, pod) == second)


@pytest.fixture
def near(fleet: Gateway, far: str) -> str:
    """The pod on the first node."""
    return next(pod for pod in pods(fleet) if pod != far)
