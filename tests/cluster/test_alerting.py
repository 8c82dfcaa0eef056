"""Alerts on a real cluster: each fires for the fault that it is about, and is over when that is mended.

The scenarios of `tests/chart/alerts.test.yaml` show that the expressions are right for made-up series; here pods make them.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.conftest import CHART, RELEASE
from tests.support import alerting, world
from tests.support.alerting import Discovery
from tests.support.gateways import Gateway
from tests.support.stream import Stream
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.alerting import Prometheus
    from tests.support.kube import Kube

MINUTE = 60
"""What the waits of the alerts are divided by: their minutes are seconds here."""
WITHIN = 60
"""Seconds for all alerts to fire, and to be over: the longest wait is fifteen, and a smarthost that failed is probed every fifteen."""
NAME = "watched"
SECRET = "watched-provider"
USERNAME = "relay@example.com"
SPOOL = "/var/spool/smtp-gateway"
FILL = f"dd if=/dev/zero of={SPOOL}/foreign bs=1024 count=$(($(df -k --output=avail {SPOOL} | tail -1) * 85 / 100))"
"""Let somebody else have most of what is left of the volume."""


@pytest.fixture(scope="module")
def second(sink: Kube, images: dict[str, str]) -> Iterator[Kube]:
    """The namespace of another smarthost, which wants no credentials."""
    second = sink.within(f"{sink.namespace}-open")
    second.apply(world.namespace(second.namespace), *world.sink(images["gateway"]))
    yield second
    second("delete", "namespace", second.namespace, "--wait=false")


@pytest.fixture(scope="module")
def watched(kube: Kube, sink: Kube, second: Kube, operator: str) -> Iterator[Gateway]:
    """A gateway on a small volume with two routes: to a provider that wants credentials, and to another smarthost."""
    assert operator
    watched = Gateway(kube, NAME, f"sink.{second.namespace}.svc")
    provider = {"host": f"sink.{sink.namespace}.svc", "port": 587, "tls": "Required", "credentialsRef": {"name": SECRET}}
    other = {"host": watched.smarthost, "port": 25, "tls": "None"}
    routes = [
        {"name": "provider", "match": {"senderDomains": ["provider.example"]}, "smarthosts": [provider]},
        {"name": "default", "smarthosts": [other], "retry": {"initial": "2s", "maximum": "5s"}},
    ]
    change_password(watched, sink)
    second("rollout", "status", "deployment/sink", "--timeout=120s")
    watched.create(routes=routes, spool={"volume": {"size": "32Mi", "storageClassName": "lab-small"}})
    yield watched
    watched.delete()
    kube("delete", "secret", SECRET)


@pytest.fixture(scope="module")
def discovery(kube: Kube, watched: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Discovery]:
    """What finds the pods of the gateway and of the operator."""
    assert watched
    with kube.proxy() as port:
        yield Discovery(kube, f"127.0.0.1:{port}", tmp_path_factory.mktemp("discovery") / "targets.json")


@pytest.fixture(scope="module")
def prometheus(watched: Gateway, discovery: Discovery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Debian's Prometheus with the chart's alerts, which scrapes the gateway and the operator."""
    folder = tmp_path_factory.mktemp("prometheus")
    rules = folder / "alerts.yaml"
    rules.write_text(yaml.safe_dump(alerting.hastened(yaml.safe_load(Path(CHART, "files/alerts.yaml").read_text()), by=MINUTE)))
    discovery.look()
    with alerting.running(folder, alerting.configuration(discovery.file, rules)) as prometheus:
        eventually_sync(lambda: well(watched, prometheus), WITHIN, "both upstreams are seen up, and the operator", pause=0.5)
        yield prometheus


def well(gateway: Gateway, prometheus: Prometheus) -> bool:
    """Tell whether the Prometheus sees both upstreams up, and an operator at work."""
    up = f'smtp_gateway_upstream_up{{pod="{gateway.pod}"}} == 1 and on () smtp_gateway_operator_leader == 1'
    return len(prometheus.query(up)) == 2


def change_password(gateway: Gateway, sink: Kube) -> None:
    """Let the provider want another password, and give it to the gateway."""
    password = secrets.token_urlsafe()
    world.demand(sink, USERNAME, password)
    data = {"username": USERNAME, "password": password}
    metadata = {"name": SECRET}
    gateway.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/basic-auth", "stringData": data})


@contextmanager
def everything_wrong(gateway: Gateway, sink: Kube, second: Kube) -> Iterator[None]:
    """Take a smarthost away, change the provider's password, fill the volume, and stop the operator; mend all of it in the end."""
    world.scale_sink(second, 0)
    world.demand(sink, USERNAME, "another one")
    gateway.kube("exec", gateway.pod, "--", "sh", "-c", FILL)
    scale_operator(gateway.kube, 0)
    try:
        yield
    finally:
        scale_operator(gateway.kube, 1)
        gateway.kube("exec", gateway.pod, "--", "rm", f"{SPOOL}/foreign")
        change_password(gateway, sink)
        world.scale_sink(second, 1)


def scale_operator(kube: Kube, replicas: int) -> None:
    """Stop the operator, or have it back, without waiting for it."""
    kube("scale", f"deployment/{RELEASE}", f"--replicas={replicas}")


def expected(gateway: Gateway) -> dict[str, dict[str, str]]:
    """Return which alerts the faults are for, and what each says it is about."""
    whole = {"namespace": gateway.kube.namespace, "gateway": NAME}
    return {
        "SmtpGatewayRouteUnreachable": {**whole, "route": "default", "severity": "critical"},
        "SmtpGatewayUpstreamUnreachable": {**whole, "route": "default", "host": gateway.smarthost, "port": "25", "severity": "warning"},
        "SmtpGatewayCredentialsRefused": {**whole, "route": "provider", "credentials": SECRET, "severity": "critical"},
        "SmtpGatewayNothingDelivered": {**whole, "severity": "critical"},
        "SmtpGatewaySpoolFilling": {"namespace": gateway.kube.namespace, "pod": gateway.pod, "severity": "warning"},
        "SmtpGatewayOperatorAbsent": {"severity": "critical"},
    }


def firing(prometheus: Prometheus, wanted: dict[str, dict[str, str]]) -> set[str]:
    """Return the names of the alerts that fire and say what is *wanted* of them."""
    return {one["alertname"] for one in prometheus.alerts() if wanted.get(one["alertname"], {"not": "asked"}).items() <= one.items()}


def about(gateway: Gateway, alerts: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return those of *alerts* that are about the gateway, or about the operator's absence."""
    return [one for one in alerts if {NAME, gateway.pod} & {*one.values()} or one["alertname"] == "SmtpGatewayOperatorAbsent"]


def mail(domain: str) -> dict[str, Any]:
    """Return a message from *domain*."""
    return world.message(f"app@{domain}", ["one@example.net"], b"Subject: watched\r\n\r\n")


def over(gateway: Gateway, prometheus: Prometheus, discovery: Discovery) -> bool:
    """Tell whether nothing fires any more of what is seen again; the operator's pod is another one now."""
    discovery.look()
    return well(gateway, prometheus) and about(gateway, prometheus.alerts()) == []


@pytest.mark.lab  # small volumes are the lab's
@pytest.mark.timeout(400)
def test_alerts_fire_for_their_faults_and_are_over_when_those_are_mended(
    watched: Gateway, sink: Kube, second: Kube, prometheus: Prometheus, discovery: Discovery
) -> None:
    """Six at once, each with the labels of what is wrong, none before; and none of them is left after."""
    assert about(watched, prometheus.alerts()) == []
    wanted = expected(watched)

    with Stream(watched, "watched"):
        with everything_wrong(watched, sink, second):
            assert watched.submit(587, mail("provider.example"))[0]["code"] == 250
            eventually_sync(lambda: firing(prometheus, wanted) == wanted.keys(), WITHIN, "all alerts fire", pause=0.5)
        eventually_sync(lambda: over(watched, prometheus, discovery), WITHIN, "all alerts are over", pause=1)
