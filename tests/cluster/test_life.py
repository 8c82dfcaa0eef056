"""The life of a fleet under a steady stream of mail: nothing that was acknowledged is lost in any of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.conftest import CHART, RELEASE
from tests.support import world
from tests.support.gateways import Gateway
from tests.support.kube import CommandError, Kube
from tests.support.stream import Stream
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHIN = 180
"""Seconds for a step of a fleet; most take under thirty."""
WAITING = 20


@pytest.fixture
def fleet(gateway: Gateway) -> Iterator[Gateway]:
    """A gateway of two pods of its own."""
    fleet = Gateway(gateway.kube, "fleet", gateway.smarthost)
    fleet.create(replicas=2)
    yield fleet
    fleet.delete()


def scale(gateway: Gateway, replicas: int) -> None:
    """Scale as people and autoscalers do, through the scale subresource."""
    gateway.kube("scale", f"smtpgateway/{gateway.name}", f"--replicas={replicas}")


def progress(gateway: Gateway) -> tuple[str, str, str]:
    """Return status, reason and message of Progressing."""
    return told(gateway, "Progressing")


def told(gateway: Gateway, condition: str) -> tuple[str, str, str]:
    """Return status, reason and message of a condition."""
    found = gateway.kube.get("smtpgateway", gateway.name)["status"]["conditions"]
    return next((one["status"], one["reason"], one["message"]) for one in found if one["type"] == condition)


def size(gateway: Gateway) -> int:
    """Return how many pods the StatefulSet wants."""
    return int(gateway.kube.get("statefulset", gateway.name)["spec"]["replicas"])


def settled(gateway: Gateway, replicas: int) -> bool:
    """Tell whether the fleet has *replicas* pods and is done."""
    resource = gateway.kube.get("smtpgateway", gateway.name)
    status = resource["status"]
    done = status["observedGeneration"] == resource["metadata"]["generation"] and progress(gateway)[:2] == ("False", "Complete")
    return bool(done and size(gateway) == replicas == status["replicas"])


def until_settled(gateway: Gateway, replicas: int) -> None:
    """Wait until the fleet has *replicas* pods and is done."""
    eventually_sync(lambda: settled(gateway, replicas), within=WITHIN, what=f"{replicas} pods: {progress(gateway)}", pause=0.5)


def notes(gateway: Gateway, number: int) -> dict[str, str]:
    """Return what the volume claim of a pod says."""
    found: dict[str, str] = gateway.kube.get("pvc", f"spool-{gateway.name}-{number}")["metadata"].get("annotations") or {}
    return {name.partition("/")[2]: value for name, value in found.items() if name.startswith("smtpgateway.io/")}


def uids(gateway: Gateway) -> dict[str, str]:
    """Return the uid of each pod."""
    pods = gateway.kube.get("pods", "-l", f"app.kubernetes.io/instance={gateway.name}")
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}


def arrive(stream: Stream, sink: Kube) -> None:
    """Wait until everything that was acknowledged has arrived."""
    assert stream.acknowledged
    eventually_sync(lambda: stream.acknowledged <= world.subjects(sink), within=WITHIN, what="all mails arrive", pause=1)


@pytest.mark.timeout(900)
def test_nothing_is_lost_while_a_fleet_is_scaled(fleet: Gateway, sink: Kube) -> None:
    """3, 1, 2, 0 and 2 pods: the fleet gets there each time, drained volumes say so, and all that was acknowledged arrives."""
    with Stream(fleet, "scaled") as stream:
        for replicas in (3, 1, 2, 0, 2):
            scale(fleet, replicas)
            until_settled(fleet, replicas)
            if replicas == 1:
                assert [notes(fleet, number) for number in (1, 2)] == [{"messages": "0", "drained": "true"}] * 2
            if replicas == 0:
                assert told(fleet, "Ready")[:2] == ("True", "ScaledToZero")
                assert "volumes without a pod hold" in told(fleet, "Ready")[2]
    arrive(stream, sink)
    assert notes(fleet, 1)["drained"] == "unknown"


@pytest.fixture
def away(sink: Kube) -> Iterator[Kube]:
    """The next hop, away."""
    world.scale_sink(sink, 0)
    yield sink
    world.scale_sink(sink, 1)


@pytest.mark.timeout(900)
def test_a_scale_in_waits_for_mail_that_cannot_leave_and_says_so(fleet: Gateway, away: Kube) -> None:
    """With the next hop away the fleet keeps its size over restarts of pod and operator; cancelled, asked for again, it ends with the mail gone."""
    subjects = fill(fleet, f"{fleet.name}-1", "kept")
    scale(fleet, 1)
    eventually_sync(lambda: f"fleet-1 has {WAITING} in its queue" in progress(fleet)[2], within=WITHIN, what="it says why", pause=0.5)
    eventually_sync(lambda: f"route default, {fleet.smarthost}:25: " in progress(fleet)[2], within=WITHIN, what="the trouble", pause=0.5)
    assert progress(fleet)[:2] == ("True", "Draining")

    fleet.kube("delete", "pod", "fleet-1", "--wait=true")
    fleet.kube("rollout", "restart", f"deployment/{RELEASE}")
    fleet.kube("rollout", "status", f"deployment/{RELEASE}", "--timeout=120s")
    eventually_sync(lambda: f"fleet-1 has {WAITING} in its queue" in progress(fleet)[2], within=WITHIN, what="it still waits", pause=0.5)
    assert size(fleet) == 2

    scale(fleet, 2)
    fleet.kube("wait", "--for=condition=Ready", "pod/fleet-1", f"--timeout={WITHIN}s")
    scale(fleet, 1)
    eventually_sync(lambda: progress(fleet)[1] == "Draining", within=WITHIN, what="it drains again", pause=0.5)
    assert size(fleet) == 2

    world.scale_sink(away, 1)
    until_settled(fleet, 1)
    eventually_sync(lambda: subjects <= world.subjects(away), within=WITHIN, what="all mails arrive", pause=1)
    assert notes(fleet, 1) == {"messages": "0", "drained": "true"}


def fill(gateway: Gateway, pod: str, token: str) -> set[str]:
    """Put mail into the queue of one pod; return the Subjects."""
    subjects = [f"Subject: {token} {number:02}" for number in range(WAITING)]
    messages = [world.message("app@example.com", ["one@example.net"], f"{subject}\r\n\r\n".encode()) for subject in subjects]
    host = f"{pod}.{gateway.name}-pods.{gateway.kube.namespace}.svc"
    assert {outcome["code"] for outcome in gateway.submit(587, *messages, host=host)} == {250}
    return set(subjects)


@pytest.mark.timeout(900)
def test_a_renewal_goes_pod_by_pod(fleet: Gateway, sink: Kube) -> None:
    """A changed template reaches every pod, one away at a time, under mail; afterwards nobody may be renewed."""
    before = uids(fleet)
    with Stream(fleet, "renewed") as stream:
        fleet.kube("rollout", "restart", f"statefulset/{fleet.name}")
        away: set[int] = set()
        eventually_sync(lambda: renewed(fleet, before, away), within=WITHIN, what="every pod is a new one", pause=0.3)
        until_settled(fleet, 2)
    arrive(stream, sink)
    assert max(away) <= 1
    assert fleet.kube.get("statefulset", fleet.name)["spec"]["updateStrategy"]["rollingUpdate"]["partition"] == 2


def renewed(gateway: Gateway, before: dict[str, str], away: set[int]) -> bool:
    """Tell whether every pod is another one than *before*; note how many were not ready."""
    status = gateway.kube.get("statefulset", gateway.name)["status"]
    away.add(len(before) - status.get("readyReplicas", 0))
    return all(uid not in before.values() for uid in uids(gateway).values()) and status.get("readyReplicas") == len(before)


@pytest.fixture
def image(kube: Kube, operator: str) -> Iterator[None]:
    """The operator's setting of the pods' image, put back afterwards."""
    assert operator
    values = json.loads(kube.helm("get", "values", RELEASE, "-o", "json"))
    yield
    set_image(kube, values["gateway"]["image"]["tag"])


def set_image(kube: Kube, tag: str) -> None:
    """Let the operator give the pods another image."""
    kube.helm("upgrade", RELEASE, CHART, "--reuse-values", "--set", f"gateway.image.tag={tag}", "--wait", "--timeout=180s")


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("image")
def test_a_broken_image_stops_at_the_first_pod_and_is_taken_back(fleet: Gateway, sink: Kube) -> None:
    """The other pod goes on taking mail, the status has the pod's own reason and calls it stalled, and the old image heals it."""
    tag = json.loads(fleet.kube.helm("get", "values", RELEASE, "-o", "json"))["gateway"]["image"]["tag"]
    before = uids(fleet)
    with Stream(fleet, "broken") as stream:
        set_image(fleet.kube, "no-such-version")
        eventually_sync(lambda: "fleet-1: " in progress(fleet)[2], within=WITHIN, what="the pod's reason is told", pause=0.5)
        eventually_sync(lambda: progress(fleet)[:2] == ("False", "RolloutStalled"), within=240, what="it is stalled", pause=1)
        assert any(reason in progress(fleet)[2] for reason in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull")), progress(fleet)
        assert uids(fleet)["fleet-0"] == before["fleet-0"]
        taken = len(stream.acknowledged)
        eventually_sync(lambda: len(stream.acknowledged) > taken, within=60, what="the other pod takes mail", pause=0.5)

        set_image(fleet.kube, tag)
        until_settled(fleet, 2)
        assert uids(fleet)["fleet-0"] == before["fleet-0"]
    fleet.wait("condition=Ready")
    arrive(stream, sink)


def evict(kube: Kube, pod: str) -> None:
    """Ask for a pod's eviction, as `kubectl drain` does. Raises `CommandError` when a budget forbids it."""
    eviction: dict[str, Any] = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": kube.namespace}}
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{pod}/eviction"
    kube("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


@pytest.mark.timeout(600)
def test_an_evicted_pod_comes_back_with_its_mail(fleet: Gateway, sink: Kube) -> None:
    """The budget lets one pod go at a time; what it had taken arrives, and mail is taken all the while."""
    before = uids(fleet)
    with Stream(fleet, "evicted") as stream:
        eventually_sync(lambda: stream.acknowledged, within=60, what="mail flows", pause=0.2)
        evict(fleet.kube, "fleet-1")
        with pytest.raises(CommandError, match="disruption budget"):
            evict(fleet.kube, "fleet-0")
        eventually_sync(
            lambda: uids(fleet).get("fleet-1", before["fleet-1"]) != before["fleet-1"], within=WITHIN, what="a new pod", pause=0.5
        )
        until_settled(fleet, 2)
    arrive(stream, sink)
