"""The life of a fleet under a steady stream of mail: nothing that was acknowledged is lost in any of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cluster.conftest import CHART, RELEASE
from tests.support import world
from tests.support.fleets import WAITING, WITHIN, arrive, evict, fill, notes, progress, restored, size, told, uids, until_settled
from tests.support.gateways import Gateway
from tests.support.kube import CommandError, Kube
from tests.support.stream import Stream
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared(gateway: Gateway) -> Iterator[Gateway]:
    """A gateway of two pods, for all of these tests."""
    shared = Gateway(gateway.kube, "fleet", gateway.smarthost)
    shared.create(replicas=2)
    yield shared
    shared.delete()


@pytest.fixture
def fleet(shared: Gateway) -> Gateway:
    """The gateway of two pods, all well."""
    return restored(shared, 2)


def scale(gateway: Gateway, replicas: int) -> None:
    """Scale as people and autoscalers do, through the scale subresource."""
    gateway.kube("scale", f"smtpgateway/{gateway.name}", f"--replicas={replicas}")


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
