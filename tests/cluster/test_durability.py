"""What a pod acknowledged survives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import processes, world
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gateways import Gateway
    from tests.support.kube import Kube

QUEUED = 200


def kill_process(gateway: Gateway) -> None:
    """SIGKILL the gateway's process, found by its pod's uid; the kubelet starts the container again."""
    processes.kill(gateway.kube.get("pod", gateway.pod), "smtp-gateway")


def delete_pod(gateway: Gateway) -> None:
    """Delete the pod without grace; the StatefulSet makes it anew."""
    gateway.kube("delete", "pod", gateway.pod, "--grace-period=0", "--force")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("end", [pytest.param(kill_process, marks=pytest.mark.lab), delete_pod])
def test_queued_mail_survives_its_pod(gateway: Gateway, sink: Kube, end: Callable[[Gateway], None]) -> None:
    """200 mails acknowledged while the next hop is down all arrive after the pod was killed and the hop is back."""
    world.scale_sink(sink, 0)
    token = end.__name__
    messages = [
        world.message("app@example.com", ["one@example.net"], f"Subject: {token} {number:03}\r\n\r\n{number}\r\n".encode())
        for number in range(QUEUED)
    ]
    outcomes = gateway.submit(587, *messages)
    assert [outcome["code"] for outcome in outcomes] == [250] * QUEUED
    assert gateway.metric("smtp_gateway_queue_messages") >= QUEUED
    before = restarts(gateway)

    end(gateway)

    eventually_sync(lambda: restarts(gateway) != before, within=120, what="the pod or its container is a new one", pause=0.5)
    gateway.kube("wait", "--for=condition=Ready", f"pod/{gateway.pod}", "--timeout=180s")
    world.scale_sink(sink, 1)
    expected = {f"Subject: {token} {number:03}" for number in range(QUEUED)}
    eventually_sync(lambda: expected <= world.subjects(sink), within=180, what="all mails arrive", pause=1)
    eventually_sync(lambda: gateway.metric("smtp_gateway_queue_messages") == 0, within=60, what="the queue is empty", pause=0.5)


def restarts(gateway: Gateway) -> tuple[str, int]:
    """Return the pod's uid and how often its container was started again."""
    if not gateway.kube.exists("pod", gateway.pod):
        return ("", 0)
    pod = gateway.kube.get("pod", gateway.pod)
    return pod["metadata"]["uid"], sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))
