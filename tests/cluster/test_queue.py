"""The queue's commands, as an administrator runs them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import world
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from typing import Any

    from tests.support.gateways import Gateway
    from tests.support.kube import Kube

ADDRESS = "night@example.com"


def listed(gateway: Gateway) -> list[dict[str, Any]]:
    """Return what waits from `ADDRESS`, as `kubectl exec` shows it."""
    said = gateway.kube("exec", gateway.pod, "--", "smtp-gateway", "queue", "list", "-o", "json", "--sender", ADDRESS)
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.timeout(600)
def test_queued_mail_is_seen_and_flushed_by_kubectl_exec(gateway: Gateway, sink: Kube) -> None:
    """While the next hop is down the command shows the mail and why it waits; held it stays, released and flushed it arrives."""
    world.scale_sink(sink, 0)
    (outcome,) = gateway.submit(587, world.message(ADDRESS, ["one@example.net"], b"Subject: by night\r\n\r\n"))
    assert outcome["code"] == 250
    eventually_sync(lambda: [one["attempts"] > 0 for one in listed(gateway)] == [True], within=60, what="a first attempt", pause=1)
    (message,) = listed(gateway)
    assert [one["address"] for one in message["recipients"]] == ["one@example.net"]
    assert message["recipients"][0]["lastReply"]

    commands = ("exec", gateway.pod, "--", "smtp-gateway", "queue")
    eventually_sync(lambda: _held(gateway, message["id"]), within=60, what="the message is held", pause=1)
    world.scale_sink(sink, 1)
    gateway.kube(*commands, "flush")
    assert [one["state"] for one in listed(gateway)] == ["held"]
    gateway.kube(*commands, "release", message["id"])
    gateway.kube(*commands, "flush")

    eventually_sync(lambda: "Subject: by night" in world.subjects(sink), within=120, what="the mail arrives", pause=1)


def _held(gateway: Gateway, message_id: str) -> bool:
    """Hold a message, unless it is being delivered at this moment; tell whether it is held."""
    script = f"smtp-gateway queue hold -o json {message_id} || true"
    said = gateway.kube("exec", gateway.pod, "--", "sh", "-c", script)
    return bool(json.loads(said)["result"] == "done")
