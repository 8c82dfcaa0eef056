"""The alerts as the cluster tier loads them: the product's own, but that they wait less long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.support.alerting import hastened, seconds, targets

ALERTS = yaml.safe_load(Path("charts/smtp-gateway-operator/files/alerts.yaml").read_text())


def alerts(rules: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all alerts."""
    return [rule for group in rules["groups"] for rule in group["rules"]]


def without_waits(rules: dict[str, Any]) -> dict[str, Any]:
    """Return the rules, but for how long an alert waits."""
    groups = [{**group, "rules": [{**rule, "for": "for" in rule} for rule in group["rules"]]} for group in rules["groups"]]
    return {**rules, "groups": groups}


def test_only_the_waits_are_shorter() -> None:
    """Groups, names, expressions with their windows, labels and annotations stay; a minute of waiting becomes a second."""
    fast = hastened(ALERTS, by=60)

    assert without_waits(fast) == without_waits(ALERTS)
    waits = [(seconds(slow["for"]), quick["for"]) for slow, quick in zip(alerts(ALERTS), alerts(fast), strict=True) if "for" in slow]
    assert (300, "5000ms") in waits
    assert all(quick == f"{1000 * slow // 60}ms" for slow, quick in waits)


def test_the_rules_themselves_stay_as_they_are() -> None:
    """What is handed in is not written to."""
    before = yaml.safe_dump(ALERTS)

    hastened(ALERTS, by=60)

    assert yaml.safe_dump(ALERTS) == before


def pod(phase: str = "Running") -> dict[str, Any]:
    """Return the pod of a gateway, as the API server gives it."""
    ports = [{"name": "submission", "containerPort": 587}, {"name": "http-metrics", "containerPort": 8080}]
    return {
        "metadata": {"namespace": "apps", "name": "mail-0", "labels": {"app.kubernetes.io/instance": "mail"}},
        "spec": {"containers": [{"name": "gateway", "ports": ports}, {"name": "injected"}]},
        "status": {"phase": phase, "podIP": "10.244.0.7"},
    }


def test_pods_are_scraped_through_the_api_under_the_labels_of_a_pod_monitor() -> None:
    """One target for the one port with metrics; none for a pod that does not run."""
    labels = {
        "namespace": "apps",
        "pod": "mail-0",
        "container": "gateway",
        "endpoint": "http-metrics",
        "job": "apps/mail",
        "instance": "10.244.0.7:8080",
        "__metrics_path__": "/api/v1/namespaces/apps/pods/mail-0:8080/proxy/metrics",
    }

    assert targets("127.0.0.1:8001", [pod(), pod("Pending")]) == [{"targets": ["127.0.0.1:8001"], "labels": labels}]
