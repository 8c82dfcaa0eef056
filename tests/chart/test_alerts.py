"""The alerts: what Prometheus' own tool says of them, and that each has a runbook and metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from smtp_gateway.telemetry.prometheus import METRICS, PrometheusObserver
from smtp_gateway_operator import metrics as operator
from tests.chart.readme import CHART
from tests.chart.test_chart import of_kind, render
from tests.support.alerting import programs

ALERTS = CHART / "files/alerts.yaml"
SCENARIOS = Path("tests/chart/alerts.test.yaml")
RUNBOOKS = Path("docs/runbooks")


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Return Prometheus' own tool."""
    return programs() / "promtool"


def rules() -> list[dict[str, Any]]:
    """Return all alerts."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def test_prometheus_finds_the_rules_right(promtool: Path) -> None:
    """The file is one that Prometheus loads, its annotations' templates included."""
    assert "SUCCESS" in subprocess.run([promtool, "check", "rules", ALERTS], check=True, capture_output=True, text=True).stdout


def test_each_alert_fires_and_keeps_quiet(promtool: Path, tmp_path: Path) -> None:
    """In the scenarios beside this file every alert fires where it should, and does not where it should not."""
    for file in (ALERTS, SCENARIOS):
        shutil.copy(file, tmp_path)
    done = subprocess.run([promtool, "test", "rules", SCENARIOS.name], check=False, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    said = [one["name"].replace(":", "").split()[:2] for one in yaml.safe_load(SCENARIOS.read_text())["tests"]]
    assert sorted(said) == sorted([rule["alert"], kind] for rule in rules() for kind in ("fires", "keeps"))


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    """Whoever is woken finds a page of the alert's name."""
    assert {rule["annotations"]["runbook_url"] for rule in rules()} == {str(path) for path in RUNBOOKS.glob("Smtp*.md")}
    assert all(rule["annotations"]["runbook_url"] == f"docs/runbooks/{rule['alert']}.md" for rule in rules())


def test_alerts_ask_for_metrics_that_exist() -> None:
    """A metric that was renamed would silence its alert."""
    asked = {name for rule in rules() for name in re.findall(r"smtp_gateway_\w+", rule["expr"])}

    assert asked <= {one.name for one in METRICS} | {one.name for one in operator.METRICS}


def test_prometheus_finds_the_metrics_well_named(promtool: Path) -> None:
    """The page of a gateway follows Prometheus' conventions for names, types and help."""
    page = PrometheusObserver().page()

    done = subprocess.run([promtool, "check", "metrics"], check=False, input=page, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_the_chart_installs_them_on_request(promtool: Path, tmp_path: Path) -> None:
    """The PrometheusRule holds the file's rules, with the labels and the runbooks' address that were asked for."""
    assert of_kind(render(), "PrometheusRule") == []
    chosen = (
        "--set=prometheusRule.enabled=true,prometheusRule.labels.release=kps,prometheusRule.runbookBaseUrl=https://runbooks.example/mail/"
    )
    (rule,) = of_kind(render(chosen), "PrometheusRule")

    assert rule["metadata"]["labels"]["release"] == "kps"
    installed = [one for group in rule["spec"]["groups"] for one in group["rules"]]
    assert [one["expr"] for one in installed] == [one["expr"] for one in rules()]
    assert installed[0]["annotations"]["runbook_url"] == "https://runbooks.example/mail/SmtpGatewayRouteUnreachable.md"
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    subprocess.run([promtool, "check", "rules", file], check=True, capture_output=True)
