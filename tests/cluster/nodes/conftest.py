"""The lab with a second node, for the length of these tests.

All that the tests stand on (operator, next hop, client) runs on the first node: the second is cordoned until that is there. One fleet is
for all tests; the test that loses the second node for good comes last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.layout import FIRST, SECOND
from tests.lab.provider import connect
from tests.support import machines
from tests.support.fleets import until_settled
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
SPREAD_OUT: dict[str, Any] = {"replicas": 2, "podTemplate": {"topologySpreadConstraints": [SPREAD]}}


@pytest.fixture(scope="session")
def images(images: dict[str, str]) -> Iterator[dict[str, str]]:
    """The images of this checkout, on both nodes: whoever asks for them gets the second node, too, which goes last."""
    machines.bring_up(2)
    try:
        Kube(connect())("cordon", SECOND.name)
        yield images
    finally:
        machines.bring_up(1)


@pytest.fixture(scope="module")
def second(gateway: Gateway) -> str:
    """The name of the second node, which takes pods now."""
    gateway.kube("uncordon", SECOND.name)
    return SECOND.name


@pytest.fixture(scope="module")
def shared(gateway: Gateway, second: str) -> Iterator[Gateway]:
    """A gateway with one pod a node, each with a volume that its node alone has."""
    shared = Gateway(gateway.kube, "spread", gateway.smarthost)
    shared.create(**SPREAD_OUT)
    assert {node_of(shared, pod) for pod in pods(shared)} == {FIRST.name, second}
    yield shared
    shared.delete()


@pytest.fixture
def fleet(shared: Gateway, second: str) -> Gateway:
    """The gateway with one pod a node, all well."""
    shared.create(**SPREAD_OUT)
    until_settled(shared, 2)
    assert {node_of(shared, pod) for pod in pods(shared)} == {FIRST.name, second}
    return shared


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
