"""Port 25 without a login on a real cluster: who is let through, who is not, and what is never opened before somebody takes the risk on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.conftest import CHART, RELEASE, conditions
from tests.support import world
from tests.support.gateways import Gateway
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kube import Kube

SUBMISSION = {"name": "submission", "port": 587}


def relay(*networks: str, **changed: Any) -> dict[str, Any]:
    """Return a listener on port 25 that trusts *networks*."""
    return {"name": "relay", "port": 25, "tls": "Opportunistic", "auth": "None", "allowedNetworks": list(networks)} | changed


@pytest.fixture
def bare(kube: Kube, operator: str) -> Iterator[Gateway]:
    """A gateway that is not there yet: each test applies it without pods, which has everything else."""
    assert operator
    bare = Gateway(kube, "open", "sink.example")
    yield bare
    bare.delete()


def ports(gateway: Gateway) -> list[int]:
    """Return the ports of the Service; none when there is none."""
    found = gateway.kube("get", "service", gateway.name, "--ignore-not-found", "-o", "json")
    return [port["port"] for port in json.loads(found)["spec"]["ports"]] if found else []


def risk(gateway: Gateway) -> tuple[str, str]:
    """Return the status and the reason of OpenRelayRisk."""
    return conditions(gateway.kube.get("smtpgateway", gateway.name).get("status") or {}).get("OpenRelayRisk", ("", ""))


def test_a_trusted_network_sends_without_a_login(kube: Kube, sink: Kube, images: dict[str, str], operator: str) -> None:
    """A pod whose address is trusted sends to anywhere in the clear; any other pod is told 550 5.7.1, but for the allowed domain."""
    assert operator
    (address,) = kube("get", "pod", "-l", "app=client", "-o", "jsonpath={.items[*].status.podIP}").split()
    sink.apply(*world.client(images["gateway"]))
    gateway = Gateway(kube, "relay", f"sink.{sink.namespace}.svc")
    try:
        allowed = relay(f"{address}/32", allowedRecipientDomains=["corp.example"], acknowledgedRisks=["ClusterAddresses"])
        gateway.create(listeners=[SUBMISSION, allowed])
        sink("rollout", "status", "deployment/client", "--timeout=120s")
        plain = {"login": "", "tls": "None"}
        anywhere = world.message("printer@example.com", ["one@example.net"], b"Subject: by the relay\r\n\r\n")
        inbound = world.message("stranger@example.org", ["two@corp.example"], b"Subject: to the domain\r\n\r\n")

        (inside,) = gateway.submit(25, anywhere, **plain)
        outside = world.submit(sink, gateway.job(25, anywhere, **plain)) + world.submit(sink, gateway.job(25, inbound, **plain))

        assert inside["code"] == 250
        assert [one["code"] for one in outside] == [550, 250]
        assert outside[0]["reply"] == "5.7.1 Relaying denied: this network sends only to some domains without a login"
        wanted = {"Subject: by the relay", "Subject: to the domain"}
        eventually_sync(lambda: wanted <= world.subjects(sink), within=60, what="both arrive", pause=0.5)
        (arrived,) = (one for one in world.received(sink) if b"Subject: by the relay" in one.data)
        assert f"([{address}])".encode() in arrived.data
        assert b" with ESMTP id " in arrived.data
        assert gateway.metric("smtp_gateway_accepted_messages_total") == 2
    finally:
        gateway.delete()
        sink("delete", "deployment/client", "--wait=false")


def test_a_risk_is_not_exposed_before_it_is_acknowledged(bare: Gateway) -> None:
    """A trusted network behind a Service that hides who connects: True, no port, Ready waits; acknowledged by name the port is there."""
    spec = {"replicas": 0, "service": {"type": "NodePort"}}
    bare.kube.apply(*bare.manifest(listeners=[SUBMISSION, relay("192.0.2.0/24")], **spec))
    bare.wait("condition=OpenRelayRisk", within=60)

    assert risk(bare) == ("True", "SourceNAT")
    assert conditions(bare.kube.get("smtpgateway", bare.name)["status"])["Ready"] == ("False", "SourceNAT")
    eventually_sync(lambda: ports(bare) == [587], within=30, what="only what is not risky is exposed", pause=0.2)
    assert "not opened: relay" in bare.kube("describe", "smtpgateway", bare.name)

    known = relay("192.0.2.0/24", acknowledgedRisks=["SourceNAT", "ClusterAddresses"])
    bare.kube.apply(*bare.manifest(listeners=[SUBMISSION, known], **spec))
    bare.wait("condition=Ready", within=60)
    assert ports(bare) == [587, 25]
    assert risk(bare) == ("False", "Acknowledged")

    bare.kube.apply(*bare.manifest(listeners=[relay("192.0.2.0/24")], **spec))
    eventually_sync(lambda: ports(bare) == [], within=30, what="nothing is left to expose", pause=0.2)
    assert risk(bare) == ("True", "SourceNAT")


def test_nodes_are_looked_at_where_they_may_be(bare: Gateway) -> None:
    """Without the right the condition is Unknown and says so; with the chart's readNodes a node's address is found."""
    node = bare.kube("get", "pod", "-l", "app=client", "-o", "jsonpath={.items[*].status.hostIP}").split()[0]
    bare.kube.apply(*bare.manifest(replicas=0, listeners=[SUBMISSION, relay(f"{node}/32")]))
    eventually_sync(lambda: risk(bare) == ("Unknown", "NotChecked"), within=60, what="nobody knows", pause=0.2)
    assert ports(bare) == [587, 25]

    bare.kube.helm("upgrade", RELEASE, CHART, "--reuse-values", "--set=readNodes=true", "--wait", "--timeout=180s")
    try:
        bare.kube.apply(*bare.manifest(replicas=0, listeners=[SUBMISSION, relay(f"{node}/32")], limits={"recipients": 101}))
        eventually_sync(lambda: risk(bare) == ("True", "ClusterAddresses"), within=60, what="the node is found", pause=0.2)
        eventually_sync(lambda: ports(bare) == [587], within=30, what="it is not exposed any more", pause=0.2)
    finally:
        bare.kube.helm("upgrade", RELEASE, CHART, "--reuse-values", "--set=readNodes=false", "--wait", "--timeout=180s")
