"""The dashboards: what each panel has to tell, and how the chart installs them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dashboards.grafana import TAG
from smtp_gateway.telemetry.table import METRICS
from smtp_gateway_operator import metrics as operator
from tests.chart.readme import CHART
from tests.chart.test_chart import of_kind, render

if TYPE_CHECKING:
    from pathlib import Path

FILES = sorted((CHART / "files/dashboards").glob("*.json"))
ENABLED = "--set=dashboards.enabled=true"


def boards() -> dict[str, dict[str, Any]]:
    """Return the committed dashboards by their names."""
    return {file.stem: json.loads(file.read_text()) for file in FILES}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of *board* that show something."""
    return [one for one in board["panels"] if one["type"] != "row"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_panel_says_what_it_shows(file: Path) -> None:
    """A panel has a sentence, a unit, a word for "nothing", and its own place on the grid."""
    shown = panels(board := json.loads(file.read_text()))

    for panel in shown:
        assert panel["description"].partition("\n")[0].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"].keys() >= {"unit", "noValue", "thresholds"}, panel["title"]
    places = {(x, y) for one in board["panels"] for x in columns(one) for y in lines(one)}
    assert len(places) == sum(one["gridPos"]["w"] * one["gridPos"]["h"] for one in board["panels"])
    assert len({one["id"] for one in shown}) == len(shown)


def columns(panel: dict[str, Any]) -> range:
    """Return the columns of the grid that *panel* takes."""
    return range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])


def lines(panel: dict[str, Any]) -> range:
    """Return the lines of the grid that *panel* takes."""
    return range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])


def test_dashboards_ask_for_metrics_that_exist() -> None:
    """A metric that was renamed would leave its panel empty."""
    suffixes = ("_bucket", "_count", "_sum")
    documented = {one.name for one in METRICS} | {one.name for one in operator.METRICS}
    known = documented | {f"{name}{suffix}" for name in documented for suffix in suffixes}

    asked = {
        name
        for board in boards().values()
        for panel in panels(board)
        for target in panel["targets"]
        for name in re.findall(r"\b(?:smtp_gateway|process)_\w+", target["expr"])
    }

    assert asked <= known


def test_each_alert_has_a_panel_with_its_runbook() -> None:
    """Whoever is woken by an alert finds what it is about on a dashboard, and no panel links a page that does not exist."""
    alerts = yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    pages = {rule["annotations"]["runbook_url"] for group in alerts["groups"] for rule in group["rules"]}

    assert {link["url"] for board in boards().values() for panel in panels(board) for link in panel.get("links", [])} == pages


def test_what_is_seen_of_one_gateway_leads_to_it() -> None:
    """From all gateways one goes on to the one that a line, a state or a row is about, at the same time."""
    found = boards()
    led = [panel for panel in panels(found["fleet"]) if "links" in panel["fieldConfig"]["defaults"]]

    assert {"Queue", "Late mail", "Deferred by route", "Smarthosts", "Why smarthosts are down"} <= {panel["title"] for panel in led}
    for panel in led:
        (link,) = panel["fieldConfig"]["defaults"]["links"]
        assert link["url"].startswith(f"/d/{found['gateway']['uid']}?")
        chosen = set(re.findall(r"var-(\w+)=", link["url"]))
        assert chosen == {one["name"] for one in found["gateway"]["templating"]["list"]} - {"pod"}
        assert "by (namespace, gateway" in panel["targets"][0]["expr"]


def installed(*chosen: str) -> dict[str, dict[str, Any]]:
    """Return the ConfigMaps of the dashboards by the only name in them."""
    found = of_kind(render(ENABLED, *chosen), "ConfigMap")
    return {name: one for one in found for name in one["data"]}


def test_the_chart_installs_them_on_request() -> None:
    """One ConfigMap each, which the sidecar of kube-prometheus-stack selects; where runbooks have no address, panels do not link to any."""
    assert of_kind(render(), "ConfigMap") == []

    found = installed()

    assert found.keys() == {f"{TAG}-{name}.json" for name in boards()}
    for name, board in boards().items():
        one = found[f"{TAG}-{name}.json"]
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        for panel in panels(board):
            panel.pop("links", None)
        assert json.loads(one["data"][f"{TAG}-{name}.json"]) == board


def test_the_chart_puts_them_where_they_are_wanted() -> None:
    """Namespace, folder, labels, annotations and the runbooks' address are the values'; the alerts' address serves where no other is given."""
    found = installed(
        "--set=dashboards.namespace=monitoring,dashboards.folder=Mail and more,dashboards.labels.release=kps,dashboards.annotations.note=ours",
        "--set=prometheusRule.runbookBaseUrl=https://runbooks.example/mail/",
    )

    for name, one in found.items():
        metadata = one["metadata"]
        assert (metadata["namespace"], metadata["labels"]["release"]) == ("monitoring", "kps")
        assert metadata["annotations"] == {"grafana_folder": "Mail and more", "note": "ours"}
        links = [link["url"] for panel in panels(json.loads(one["data"][name])) for link in panel.get("links", [])]
        assert "https://runbooks.example/mail/SmtpGatewayMailLate.md" in links
        assert all(link.startswith("https://runbooks.example/mail/SmtpGateway") for link in links)
