"""Nodes that are broken, drained and lost, under a steady stream of mail: nothing acknowledged is lost but with its disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.nodes.conftest import node_of
from tests.lab.layout import FIRST, SECOND
from tests.support import machines, processes, world
from tests.support.fleets import WAITING, WITHIN, arrive, evict, fill, notes, progress, told, uids, until_settled
from tests.support.kube import CommandError
from tests.support.stream import Stream
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.gateways import Gateway
    from tests.support.kube import Kube

pytestmark = pytest.mark.lab
CONTAINERD = f"containerd.{SECOND.name}"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"


@pytest.fixture
def runtime() -> Iterator[str]:
    """The container runtime of the second node, which runs again afterwards."""
    yield CONTAINERD
    if not machines.runs(CONTAINERD):
        machines.restart(CONTAINERD)


def flows(stream: Stream) -> None:
    """Wait until more mail was acknowledged."""
    taken = len(stream.acknowledged)
    eventually_sync(lambda: len(stream.acknowledged) > taken, within=60, what="mail goes on", pause=0.2)


def says(gateway: Gateway, condition: str, words: str) -> None:
    """Wait until a condition's message has *words*."""
    eventually_sync(
        lambda: words in told(gateway, condition)[2], within=WITHIN, what=f"{words!r} in {condition}: {told(gateway, condition)}", pause=0.5
    )


def lives(gateway: Gateway, pod: str) -> tuple[str, int]:
    """Return the uid of a pod, and how often its container was started again."""
    found: dict[str, Any] = gateway.kube.get("pod", pod)
    return found["metadata"]["uid"], sum(one["restartCount"] for one in found["status"]["containerStatuses"])


def node_is(kube: Kube, status: str) -> None:
    """Wait until the second node's Ready is *status*."""
    kube("wait", f"--for=condition=Ready={status}", f"node/{SECOND.name}", f"--timeout={WITHIN}s")


@pytest.mark.timeout(900)
def test_pods_outlive_their_container_runtime(fleet: Gateway, sink: Kube, far: str, runtime: str) -> None:
    """While containerd is dead its node's pod takes mail, and is the same process when it is back."""
    before = lives(fleet, far)
    with Stream(fleet, "outlived") as stream:
        flows(stream)
        machines.stop(runtime)
        taken = fill(fleet, far, "taken without containerd")
        flows(stream)
        machines.restart(runtime)
        flows(stream)
    arrive(stream, sink)
    eventually_sync(lambda: taken <= world.subjects(sink), within=WITHIN, what="what the pod took arrives", pause=1)
    node_is(fleet.kube, "True")
    fleet.wait("condition=Ready")
    assert lives(fleet, far) == before


@pytest.mark.timeout(900)
def test_a_pod_that_dies_without_its_runtime_comes_back_with_it(fleet: Gateway, away: Kube, far: str, runtime: str) -> None:
    """Killed with containerd, a pod is told not to be ready, and the other takes mail; started again, it delivers what it had."""
    had = fill(fleet, far, "killed with containerd")
    uid, restarts = lives(fleet, far)
    with Stream(fleet, "killed") as stream:
        flows(stream)
        machines.stop(runtime)
        processes.kill(fleet.kube.get("pod", far), "smtp-gateway")
        says(fleet, "Ready", f"1 of 2 pods ready; {far}: not ready")
        flows(stream)
        machines.restart(runtime)
        fleet.kube("wait", "--for=condition=Ready", f"pod/{far}", f"--timeout={WITHIN}s")
        world.scale_sink(away, 1)
    arrive(stream, away)
    eventually_sync(lambda: had <= world.subjects(away), within=WITHIN, what="what the pod had arrives", pause=1)
    until_settled(fleet, 2)
    assert lives(fleet, far) == (uid, restarts + 1)


@pytest.mark.timeout(900)
def test_draining_a_node_loses_nothing(fleet: Gateway, away: Kube, far: str, near: str) -> None:
    """The drained node's pod waits for its volume and says so, the budget keeps the other; uncordoned, it comes back with its mail."""
    had = fill(fleet, far, "drained")
    before = uids(fleet)
    with Stream(fleet, "while drained") as stream:
        flows(stream)
        fleet.kube("drain", SECOND.name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s")
        says(fleet, "Ready", f"1 of 2 pods ready; {far}: no node that can run it has its volume (claim spool-{far}, ")
        assert "1 node(s) were unschedulable" in told(fleet, "Ready")[2]
        with pytest.raises(CommandError, match="disruption budget"):
            evict(fleet.kube, near)
        flows(stream)

        fleet.kube("uncordon", SECOND.name)
        until_settled(fleet, 2)
        world.scale_sink(away, 1)
    arrive(stream, away)
    eventually_sync(lambda: had <= world.subjects(away), within=WITHIN, what="what the drained pod had arrives", pause=1)
    after = uids(fleet)
    assert (after[near], after[far] != before[far], node_of(fleet, far)) == (before[near], True, SECOND.name)


@pytest.fixture
def doomed(fleet: Gateway) -> Iterator[str]:
    """The second node, whose remains are taken away; nothing comes after it that needs one."""
    yield SECOND.name
    fleet.delete()
    machines.bring_up(1)


@pytest.mark.timeout(1200)
def test_a_node_is_lost_for_good(fleet: Gateway, away: Kube, far: str, near: str, doomed: str) -> None:
    """Its pod and its volume are named, with how much was on it; as docs/scaling.md says, the pod gets a new volume. All other mail arrives."""
    lost, kept = fill(fleet, far, "on the lost disk"), fill(fleet, near, "on the other disk")
    number = int(far.rpartition("-")[2])
    eventually_sync(lambda: notes(fleet, number).get("messages") == str(WAITING), within=WITHIN, what="the volume is counted", pause=1)

    machines.lose(SECOND)
    with Stream(fleet, "after the loss") as stream:
        says(fleet, "Ready", f"1 of 2 pods ready; {far}: its node {doomed} is not ready")
        flows(stream)
        fleet.kube("taint", "nodes", doomed, OUT_OF_SERVICE)
        says(fleet, "Ready", f"{far}: no node that can run it has its volume (claim spool-{far}, {WAITING} messages by its last count)")
        eventually_sync(lambda: progress(fleet)[:2] == ("False", "VolumeUnreachable"), within=WITHIN, what="it is stuck", pause=1)
        warnings = fleet.kube.get("events", "--field-selector", f"involvedObject.name={fleet.name},reason=VolumeUnreachable")
        assert [f"spool-{far}, {WAITING} messages" in warning["message"] for warning in warnings] == [True]
        flows(stream)

        fleet.kube("delete", "pvc", f"spool-{far}", "--wait=false")
        fleet.kube("delete", "pod", far)
        until_settled(fleet, 2)
        assert node_of(fleet, far) == FIRST.name
        fleet.kube("delete", "node", doomed)
        world.scale_sink(away, 1)
        fleet.wait("condition=Ready")
        flows(stream)
    arrive(stream, away)
    eventually_sync(lambda: kept <= world.subjects(away), within=WITHIN, what="what the other pod had arrives", pause=1)
    assert not lost & world.subjects(away)
