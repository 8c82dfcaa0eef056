"""What the Prometheus Operator's controllers make of our PodMonitors, ServiceMonitor and PrometheusRule: a Prometheus that watches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.conftest import CHART, RELEASE
from tests.cluster.monitoring.conftest import WATCHED, install
from tests.support import world
from tests.support.fleets import uids
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from tests.support.alerting import Prometheus
    from tests.support.gateways import Gateway
    from tests.support.kube import Kube

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]  # the definitions are installed and removed for the whole cluster
WITHIN = 300
"""Seconds for a change of a monitor to be in force: up to two minutes until the pod sees the Secret, and its reloader looks every three."""
SHOWN = ("namespace", "pod", "container", "endpoint", "job")
"""Labels by which a target is told from others; those that are there always."""


def up(prometheus: Prometheus) -> set[tuple[str, ...]]:
    """Return the targets that are scraped. The series of one that a changed configuration names no more are there for five minutes yet."""
    targets = prometheus.ask("targets", state="active")["activeTargets"]
    return {tuple(one["labels"].get(name, "") for name in SHOWN) for one in targets if one["health"] == "up"}


def pods(gateway: Gateway) -> set[tuple[str, ...]]:
    """Return the targets that the pods of the gateway should be, found by its PodMonitor."""
    namespace = gateway.kube.namespace
    names = [f"{gateway.name}-{number}" for number in range(2)]
    return {(namespace, name, "gateway", "http-metrics", f"{namespace}/{gateway.name}") for name in names}


def operator_target(kube: Kube, job: str) -> tuple[str, ...]:
    """Return the target that the operator's pod should be, found by *job*."""
    (pod,) = kube.get("pod", "-l", "app.kubernetes.io/name=smtp-gateway-operator")
    return (kube.namespace, pod["metadata"]["name"], "operator", "http-metrics", job)


def shown(title: str, targets: set[tuple[str, ...]]) -> list[str]:
    """Return targets as lines to print."""
    return [title, *("  " + " ".join(f"{name}={value}" for name, value in zip(SHOWN, one, strict=True)) for one in sorted(targets))]


def test_pod_monitors_become_targets_that_are_up(prometheus: Prometheus, gateway: Gateway, told: list[str]) -> None:
    """The gateway's two pods by its own PodMonitor, and the operator's by the chart's; their series have the labels that the alerts need."""
    kube = gateway.kube
    wanted = pods(gateway) | {operator_target(kube, f"{kube.namespace}/{RELEASE}")}

    eventually_sync(lambda: up(prometheus) == wanted, WITHIN, "all pods are scraped, and nothing else", pause=1)

    told += shown("Targets by PodMonitors:", up(prometheus))
    series = prometheus.query(f'smtp_gateway_upstream_up{{namespace="{kube.namespace}"}}')
    assert {one["pod"] for one in series} == {"mail-0", "mail-1"}
    (ready,) = prometheus.query("smtp_gateway_operator_resource_ready")
    assert (ready["exported_namespace"], ready["name"]) == (kube.namespace, gateway.name)


def test_the_prometheus_rule_is_loaded_as_it_is(prometheus: Prometheus, told: list[str]) -> None:
    """Every alert of the chart is there, with its labels and its wait, and can be evaluated."""
    groups = yaml.safe_load(Path(CHART, "files/alerts.yaml").read_text())["groups"]
    wanted = {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"]}

    eventually_sync(lambda: loaded(prometheus) == dict.fromkeys(wanted, "ok"), WITHIN, "all alerts are evaluated", pause=1)

    found = {rule["name"]: rule for rule in rules(prometheus)}
    assert {name: rule["labels"]["severity"] for name, rule in found.items()} == wanted
    assert found["SmtpGatewayRouteUnreachable"]["duration"] == 300
    told += ["Rules:", *(f"  {rule['health']} {name} for {rule['duration']:g} s" for name, rule in sorted(found.items()))]


def rules(prometheus: Prometheus) -> list[dict[str, Any]]:
    """Return the rules that the Prometheus has."""
    return [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]


def loaded(prometheus: Prometheus) -> dict[str, str]:
    """Return how each rule's last evaluation went."""
    return {rule["name"]: rule["health"] for rule in rules(prometheus)}


def test_an_alert_is_raised_by_what_was_scraped(prometheus: Prometheus, gateway: Gateway, away: Kube, told: list[str]) -> None:
    """Without its next hop the gateway's route is an alert that waits for its five minutes, about this gateway."""
    assert away
    message = world.message("app@example.com", ["one@example.net"], b"Subject: nowhere\r\n\r\n")
    host = f"{gateway.pod}.{gateway.name}-pods.{gateway.kube.namespace}.svc"
    assert gateway.submit(587, message, host=host)[0]["code"] == 250

    name = "SmtpGatewayRouteUnreachable"
    eventually_sync(lambda: name in pending(prometheus), WITHIN, "the alert is pending", pause=1)

    alert = pending(prometheus)[name]
    assert (alert["namespace"], alert["gateway"], alert["route"]) == (gateway.kube.namespace, gateway.name, "default")
    told += ["Alert:", f"  pending {alert}"]


def pending(prometheus: Prometheus) -> dict[str, dict[str, str]]:
    """Return the labels of the alerts that wait, by name."""
    return {one["alertname"]: one for one in prometheus.alerts("pending")}


def test_a_service_monitor_does_the_same_for_the_operator(prometheus: Prometheus, gateway: Gateway, told: list[str]) -> None:
    """Asked for instead of the chart's PodMonitor, it is the one by which the operator is scraped, once."""
    kube = gateway.kube
    install(kube, {"podMonitor": {"enabled": False}, "serviceMonitor": WATCHED["podMonitor"]})
    try:
        wanted = pods(gateway) | {operator_target(kube, f"{RELEASE}-metrics")}
        eventually_sync(lambda: up(prometheus) == wanted, WITHIN, "the operator is scraped by its Service", pause=1)
        told += shown("Targets with the ServiceMonitor:", up(prometheus))
    finally:
        install(kube, {"serviceMonitor": {"enabled": False}, **WATCHED})


def test_a_gateway_that_asks_no_more_is_scraped_no_more(prometheus: Prometheus, gateway: Gateway) -> None:
    """With its PodMonitor its targets go, and come back with it; no pod is renewed for that."""
    before = uids(gateway)

    gateway.kube.apply(gateway.manifest(replicas=2)[1])
    eventually_sync(lambda: not up(prometheus) & pods(gateway), WITHIN, "the gateway is not scraped", pause=1)
    gateway.kube.apply(gateway.manifest(replicas=2, monitoring={"podMonitor": WATCHED["podMonitor"]})[1])
    eventually_sync(lambda: up(prometheus) >= pods(gateway), WITHIN, "the gateway is scraped again", pause=1)

    assert uids(gateway) == before
