"""Conditions tell the truth about delivery: a wrong upstream is told with its reply, and a corrected one is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.conftest import conditions
from tests.support.gateways import Gateway
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

TOLD_WITHIN = 60
"""Seconds from a change of the resource to the condition that says what came of it."""


@pytest.fixture
def relayed(gateway: Gateway) -> Iterator[Gateway]:
    """A gateway of its own whose upstream can be spoilt."""
    relayed = Gateway(gateway.kube, "relayed", gateway.smarthost)
    relayed.create()
    yield relayed
    relayed.delete()


def upstream(gateway: Gateway, **smarthost: Any) -> None:
    """Give the gateway another upstream."""
    hop = {"host": gateway.smarthost, "port": 25, "tls": "None"} | smarthost
    gateway.kube.apply(gateway.manifest(routes=[{"name": "default", "smarthosts": [hop]}])[1])


def told(gateway: Gateway, condition: str) -> tuple[str, str, str]:
    """Return status, reason and message of a condition."""
    found = gateway.kube.get("smtpgateway", gateway.name)["status"]["conditions"]
    return next((one["status"], one["reason"], one["message"]) for one in found if one["type"] == condition)


@pytest.mark.timeout(420)
def test_a_wrong_upstream_is_told_and_a_corrected_one_believed(gateway: Gateway, relayed: Gateway) -> None:
    """Refused, without the TLS that is asked for, and right again: each is the condition's within a minute, and Ready follows."""
    nobody = f"{gateway.name}-pods.{gateway.kube.namespace}.svc"
    assert told(relayed, "UpstreamReachable")[:2] == ("True", "Reachable")

    upstream(relayed, host=nobody, port=9)
    relayed.wait("condition=UpstreamReachable=False", TOLD_WITHIN)
    status, reason, message = told(relayed, "UpstreamReachable")
    assert (status, reason) == ("False", "ConnectionRefused")
    assert message.startswith(f"route default, {nobody}:9: ")
    assert relayed.pod in message
    assert told(relayed, "Ready")[:2] == ("False", "ConnectionRefused")

    upstream(relayed, tls="Verify")
    eventually_sync(lambda: told(relayed, "UpstreamReachable")[1] == "TLSFailed", within=TOLD_WITHIN, what="TLS is told", pause=1)
    assert f"{gateway.smarthost}:25" in told(relayed, "UpstreamReachable")[2]

    upstream(relayed)
    relayed.wait("condition=UpstreamReachable", TOLD_WITHIN)
    relayed.wait("condition=Ready", TOLD_WITHIN)

    events = relayed.kube.get("events", "--field-selector", f"involvedObject.kind=SmtpGateway,involvedObject.name={relayed.name}")
    reasons = [(event["type"], event["reason"]) for event in events]
    for expected in [("Warning", "ConnectionRefused"), ("Warning", "TLSFailed"), ("Normal", "Reachable"), ("Warning", "NotReady")]:
        assert expected in reasons


def test_every_condition_is_true_of_a_gateway_that_delivers(gateway: Gateway) -> None:
    """With a next hop that answers, nothing is unknown."""
    gateway.wait("condition=Ready")

    found = conditions(gateway.kube.get("smtpgateway", gateway.name)["status"])

    assert found["CertificateValid"] == ("True", "Valid")
    assert found["UpstreamReachable"] == ("True", "Reachable")
    assert found["QueueHealthy"][0] == "True"


def test_the_status_says_which_configuration_the_pods_run(gateway: Gateway) -> None:
    """A change is loaded by the running pod, and the status says so by the configuration's hash."""
    gateway.wait("condition=Ready")
    before = gateway.kube.get("smtpgateway", gateway.name)["status"]["configuration"]
    assert before["podsCurrent"] == 1

    try:
        gateway.kube.apply(gateway.manifest(limits={"recipients": 9})[1])
        eventually_sync(lambda: _loaded(gateway, before["hash"]), within=30, what="the pod runs another configuration", pause=0.2)
    finally:
        gateway.kube.apply(gateway.manifest()[1])

    eventually_sync(lambda: _configuration(gateway) == before, within=30, what="the pod runs the first configuration again", pause=0.2)


def _configuration(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.kube.get("smtpgateway", gateway.name)["status"]["configuration"]
    return found


def _loaded(gateway: Gateway, before: str) -> bool:
    found = _configuration(gateway)
    return bool(found["hash"] != before and found["podsCurrent"] == 1)
