"""kubeconform, strict, on everything that the chart renders and on every example: each field exists and has the right type."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chart.readme import CHART
from tests.chart.test_chart import VALUES, helm

if TYPE_CHECKING:
    from collections.abc import Callable

NO_FIELD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: wrong}
spec:
  selector: {matchLabels: {app: wrong}}
  template:
    metadata: {labels: {app: wrong}}
    spec: {containers: [{name: one, image: one, portz: []}]}
"""
WRONG_TYPE = """
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: wrong}
spec: {selector: {}, podMetricsEndpoints: {port: http-metrics}}
"""
NO_KIND = """
apiVersion: policy/v1
kind: PodDisruptionBudgets
metadata: {name: wrong}
"""


@pytest.mark.parametrize("chosen", VALUES, ids=lambda path: path.stem if path else "defaults")
def test_what_the_chart_renders_conforms(conform: Callable[[str], list[str]], chosen: Path | None) -> None:
    """Under each committed set of values every object is one that the API server and the Prometheus Operator know."""
    assert conform(helm("template", "smtp", str(CHART), "--namespace=mail", *([f"--values={chosen}"] if chosen else []))) == []


@pytest.mark.parametrize("example", sorted(Path("examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_example_conforms(conform: Callable[[str], list[str]], example: Path) -> None:
    """What users copy holds no field that does not exist."""
    assert conform(example.read_text()) == []


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [(NO_FIELD, "additional properties 'portz' not allowed"), (WRONG_TYPE, "got object, want array"), (NO_KIND, "could not find schema")],
)
def test_what_does_not_conform_is_found(conform: Callable[[str], list[str]], manifest: str, sentence: str) -> None:
    """A field that does not exist, a value of the wrong type and an unknown kind are faults: the schemas are strict, and are read."""
    (fault,) = conform(manifest)

    assert sentence in fault
