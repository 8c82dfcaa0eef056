"""What the operator relies on when it asks pods: one contract for the admin ports and for their twin."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.names import Owner
from tests.unit.operator.setting import report

if TYPE_CHECKING:
    from smtp_gateway.config.certificate import Pair
    from smtp_gateway_operator.fleet.api import Fleet
    from smtp_gateway_operator.spec import PodReport

OWNER = Owner("apps", "mail", "uid-1")


def pod(name: str, address: str = "127.0.0.1", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    """Return a pod as the API server has it."""
    return {"metadata": {"name": name, "namespace": OWNER.namespace} | metadata, "status": {"phase": phase, "podIP": address}}


class Pods(ABC):
    """A gateway's pods, as the contract arranges them."""

    fleet: Fleet
    authority: Pair

    @abstractmethod
    async def runs(self, name: str, report: PodReport) -> dict[str, Any]:
        """Let a pod run that says *report*; return it."""

    @abstractmethod
    async def hides(self, name: str) -> dict[str, Any]:
        """Let a pod run that does not answer; return it."""


class FleetContract:
    """Inherit, and provide the fixture `pods`."""

    async def test_each_pod_says_its_own(self, pods: Pods) -> None:
        """Every running pod is asked, and its report is under its name."""
        said = {name: report(name, config_hash=name) for name in ("mail-0", "mail-1")}
        running = [await pods.runs(name, one) for name, one in said.items()]

        assert await pods.fleet.reports(OWNER, running, pods.authority) == said

    async def test_a_pod_that_does_not_answer_hides_no_other(self, pods: Pods) -> None:
        """In the place of its report is one sentence."""
        running = [await pods.hides("mail-0"), await pods.runs("mail-1", report("mail-1"))]

        found = await pods.fleet.reports(OWNER, running, pods.authority)

        assert found["mail-1"] == report("mail-1")
        assert isinstance(found["mail-0"], str)
        assert found["mail-0"]
        assert "\n" not in found["mail-0"]

    async def test_only_running_pods_of_the_gateway_are_asked(self, pods: Pods) -> None:
        """Not one that starts, that ends, that has no address yet, or that only carries the labels."""
        others = [
            pod("mail-1", phase="Pending"),
            pod("mail-2", deletionTimestamp="2026-03-01T12:00:00Z"),
            pod("mail-3", address=""),
            pod("mail-x"),
            pod("mail"),
            pod("another-mail-0"),
        ]

        found = await pods.fleet.reports(OWNER, [await pods.runs("mail-0", report("mail-0")), *others], pods.authority)

        assert list(found) == ["mail-0"]

    async def test_a_forgotten_gateway_can_be_asked_again(self, pods: Pods) -> None:
        """Forgetting saves memory and changes nothing, also where nothing is known."""
        running = [await pods.runs("mail-0", report("mail-0"))]
        await pods.fleet.reports(OWNER, running, pods.authority)

        pods.fleet.forget(OWNER.key)
        pods.fleet.forget(OWNER.key)

        assert await pods.fleet.reports(OWNER, running, pods.authority) == {"mail-0": report("mail-0")}

    async def test_no_pods_give_no_reports(self, pods: Pods) -> None:
        """A gateway of no pods is not an error."""
        assert await pods.fleet.reports(OWNER, [], pods.authority) == {}
