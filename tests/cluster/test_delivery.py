"""Conditions tell the truth about delivery: a wrong upstream is told with its reply, and a corrected one is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.conftest import conditions
from tests.support import world
from tests.support.gateways import Gateway
from tests.support.stream import Stream
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kube import Kube

FAILOVER_WITHIN = 30
"""Seconds until mail goes to the second smarthost: a connection is refused at once, and what is under way may wait for its retry of 2 to 5."""
AWAY_TOLD_WITHIN = 180
"""Seconds until the status tells of one that was well: its probe comes once a minute, and two in a row have to fail."""
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


@pytest.fixture
def second(sink: Kube, images: dict[str, str]) -> Iterator[Kube]:
    """The namespace of another receiving server."""
    second = sink.within(f"{sink.namespace}-2")
    second.apply(world.namespace(second.namespace))
    try:
        second.apply(*world.sink(images["gateway"]))
        second("rollout", "status", "deployment/sink", "--timeout=120s")
        yield second
    finally:
        second("delete", "namespace", second.namespace, "--timeout=120s")


@pytest.mark.timeout(600)
def test_a_smarthost_that_goes_away_under_load_costs_nothing(relayed: Gateway, sink: Kube, second: Kube) -> None:
    """The second one gets the mail within seconds, the status says which one is away, and all that was acknowledged arrives at one of them."""
    hops = [{"host": f"sink.{one.namespace}.svc", "port": 25, "tls": "None"} for one in (sink, second)]
    relayed.kube.apply(relayed.manifest(routes=[{"name": "default", "smarthosts": hops}])[1])
    with Stream(relayed, "failover") as stream:
        eventually_sync(lambda: stream.acknowledged & world.subjects(sink), within=60, what="the first one gets mail", pause=0.5)
        assert not world.subjects(second)
        eventually_sync(lambda: told(relayed, "UpstreamReachable")[1] == "Reachable", AWAY_TOLD_WITHIN, "both are found", pause=1)
        world.scale_sink(sink, 0)
        try:
            eventually_sync(lambda: world.subjects(second), within=FAILOVER_WITHIN, what="the second one gets mail", pause=0.5)
            eventually_sync(lambda: told(relayed, "UpstreamReachable")[1] == "PartlyReachable", AWAY_TOLD_WITHIN, "it is told", pause=1)
            assert f"sink.{sink.namespace}.svc:25" in told(relayed, "UpstreamReachable")[2]
        finally:
            world.scale_sink(sink, 1)
    eventually_sync(
        lambda: stream.acknowledged <= world.subjects(sink) | world.subjects(second), within=180, what="all mail arrives", pause=1
    )
    assert stream.refused == 0


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
