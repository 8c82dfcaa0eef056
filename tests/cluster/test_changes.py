"""Changes of a gateway under a steady stream of mail: of its configuration, its volumes. Nothing that was acknowledged is lost."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import world
from tests.support.fleets import arrive, notes, progress, restored, uids
from tests.support.gateways import Gateway
from tests.support.kept import Kept
from tests.support.stream import Stream
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kube import Kube

CHANGES = 20

WITHIN = 180
"""Seconds for one change; most take a few."""


@pytest.fixture(scope="module")
def shared(gateway: Gateway) -> Iterator[Gateway]:
    """A gateway of two pods, for all of these tests."""
    shared = Gateway(gateway.kube, "changed", gateway.smarthost)
    shared.create(replicas=2)
    yield shared
    shared.delete()


@pytest.fixture
def changed(shared: Gateway) -> Gateway:
    """The gateway of two pods, all well."""
    return restored(shared, 2)


def uid(gateway: Gateway, kind: str, name: str) -> str:
    """Return the uid of an object."""
    return str(gateway.kube.get(kind, name)["metadata"]["uid"])


def configuration(gateway: Gateway) -> dict[str, Any]:
    """Return what the status says of the configuration, and of which generation that is true."""
    status = gateway.kube.get("smtpgateway", gateway.name)["status"]
    return {**status["configuration"], "generation": status["observedGeneration"]}


def change(gateway: Gateway, number: int) -> str:
    """Change the configuration for the *number*th time; return its hash once every pod has it in force."""
    before = configuration(gateway)["hash"]
    gateway.kube.apply(gateway.manifest(replicas=2, limits={"recipients": 200 + number})[1])
    generation = gateway.kube.get("smtpgateway", gateway.name)["metadata"]["generation"]

    def in_force() -> bool:
        found = configuration(gateway)
        current = found["generation"] == generation and found["hash"] != before
        return bool(current and found["podsCurrent"] == len(uids(gateway)))

    eventually_sync(in_force, within=WITHIN, what=f"change {number} is in force on both pods", pause=0.3)
    return str(configuration(gateway)["hash"])


def session(gateway: Gateway, pod: str) -> Kept:
    """Return a session with one pod."""
    host = f"{pod}.{gateway.name}-pods.{gateway.kube.namespace}.svc"
    return Kept(gateway.kube, gateway.job(587, host=host))


def kept_mail(number: int, pod: str) -> dict[str, Any]:
    """Return a message of a session that is kept open."""
    return world.message("app@example.com", ["one@example.net"], f"Subject: kept {number:02} {pod}\r\n\r\n".encode())


@pytest.mark.timeout(1200)
def test_twenty_changes_of_the_configuration_drop_nothing(changed: Gateway, sink: Kube) -> None:
    """Each is in force on every pod, under a name of its own in the status; no session ends for it, no pod restarts, no mail is lost."""
    before, hashes, expected = uids(changed), set(), set()
    with ExitStack() as during:
        sessions = {pod: during.enter_context(session(changed, pod)) for pod in before}
        stream = during.enter_context(Stream(changed, "changed"))
        for number in range(CHANGES):
            hashes.add(change(changed, number))
            for pod, one in sessions.items():
                assert one.submit(kept_mail(number, pod))["code"] == 250
                expected.add(f"Subject: kept {number:02} {pod}")
    arrive(stream, sink)
    eventually_sync(lambda: expected <= world.subjects(sink), within=WITHIN, what="the sessions' mails arrive", pause=1)

    assert len(hashes) == CHANGES
    assert stream.refused == 0
    assert uids(changed) == before
    pods = changed.kube.get("pods", "-l", f"app.kubernetes.io/instance={changed.name}")
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods] == [0, 0]


@pytest.mark.lab
@pytest.mark.timeout(600)
def test_volumes_that_cannot_grow_are_told_and_nothing_else_stops(changed: Gateway, sink: Kube) -> None:
    """The StatefulSet is made anew without its pods and volumes, and mail flows all the while; the old size makes all well again."""
    claims = [f"spool-{changed.name}-{number}" for number in range(2)]
    before = uids(changed), [uid(changed, "pvc", claim) for claim in claims], uid(changed, "statefulset", changed.name)
    with Stream(changed, "grown") as stream:
        changed.kube.apply(changed.manifest(replicas=2, spool={"volume": {"size": "100Gi"}})[1])
        eventually_sync(lambda: progress(changed)[:2] == ("False", "VolumesCannotGrow"), within=WITHIN, what="it says so", pause=0.5)
        sentence = progress(changed)[2]
        changed.wait("condition=Ready")
        taken = len(stream.acknowledged)
        eventually_sync(lambda: len(stream.acknowledged) > taken, within=60, what="mail flows", pause=0.5)
        changed.kube.apply(changed.manifest(replicas=2)[1])
        eventually_sync(lambda: progress(changed)[:2] == ("False", "Complete"), within=WITHIN, what="all is well again", pause=0.5)
    arrive(stream, sink)

    assert sentence.startswith("spec.spool.volume.size is 100Gi, and volumes keep their size: spool-changed-0 has ")
    assert "only dynamically provisioned pvc can be resized" in sentence
    assert (uids(changed), [uid(changed, "pvc", claim) for claim in claims]) == before[:2]
    assert uid(changed, "statefulset", changed.name) != before[2]
    assert stream.refused == 0
    assert notes(changed, 0)["drained"] == "unknown"
