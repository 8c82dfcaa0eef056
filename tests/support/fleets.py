"""A fleet of gateway pods in a cluster: how it stands, what is put into its queues, who is evicted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support import world
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from tests.support.gateways import Gateway
    from tests.support.kube import Kube
    from tests.support.stream import Stream

WITHIN = 180
"""Seconds for a step of a fleet; most take under thirty."""
WAITING = 20
"""Messages that are put into a queue."""


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


def restored(gateway: Gateway, replicas: int) -> Gateway:
    """Return a fleet that tests share as it was made, whatever the test before did to it."""
    gateway.create(replicas=replicas)
    until_settled(gateway, replicas)
    return gateway


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


def fill(gateway: Gateway, pod: str, token: str) -> set[str]:
    """Put mail into the queue of one pod; return the Subjects."""
    subjects = [f"Subject: {token} {number:02}" for number in range(WAITING)]
    messages = [world.message("app@example.com", ["one@example.net"], f"{subject}\r\n\r\n".encode()) for subject in subjects]
    host = f"{pod}.{gateway.name}-pods.{gateway.kube.namespace}.svc"
    assert {outcome["code"] for outcome in gateway.submit(587, *messages, host=host)} == {250}
    return set(subjects)


def evict(kube: Kube, pod: str) -> None:
    """Ask for a pod's eviction, as `kubectl drain` does. Raises `CommandError` when a budget forbids it."""
    eviction: dict[str, Any] = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": kube.namespace}}
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{pod}/eviction"
    kube("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
