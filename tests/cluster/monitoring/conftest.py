"""A cluster with the Prometheus Operator, a Prometheus that it runs, and our chart and a gateway that ask to be watched by it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cluster.conftest import CHART, RELEASE
from tests.support import alerting, prometheus_operator, world
from tests.support.gateways import Gateway
from tests.support.prometheus_operator import INTERVAL, LABELS, NAME
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.alerting import Prometheus
    from tests.support.kube import Kube

TOLD = pytest.StashKey[list[str]]()
"""What the Prometheus said, for whoever reads the run."""
WATCHED = {
    "podMonitor": {"enabled": True, "labels": LABELS, "interval": INTERVAL},
    "prometheusRule": {"enabled": True, "labels": LABELS},
}
"""Values of the chart."""


@pytest.fixture(scope="session", autouse=True)
def _definitions(kube: Kube) -> Iterator[None]:
    """The Prometheus Operator's definitions, there before our operator, and gone after it."""
    folder = str(prometheus_operator.definitions())
    kube("apply", "--server-side", "-f", folder)
    kube("wait", "--for=condition=Established", "-f", folder, "--timeout=60s")
    yield
    kube("delete", "-f", folder, "--timeout=120s")


@pytest.fixture(scope="session")
def built() -> dict[str, str]:
    """The path of the Prometheus Operator, and the image of its pods, loaded into the cluster."""
    said = subprocess.run([sys.executable, "-m", "tests.lab", "monitoring"], check=True, capture_output=True, text=True).stdout
    built: dict[str, str] = json.loads(said)
    return built


@pytest.fixture(scope="session")
def watching(kube: Kube, built: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """The namespace of a Prometheus, which the Prometheus Operator runs."""
    watching = kube.within(f"{kube.namespace}-watching")
    watching.apply(world.namespace(watching.namespace))
    log = tmp_path_factory.mktemp("prometheus-operator") / "log"
    try:
        with prometheus_operator.controllers(built["operator"], built["image"], (kube, watching), log):
            kube.apply(*prometheus_operator.rights(watching))
            watching.apply(*prometheus_operator.prometheus(built["image"]))
            try:
                watching("wait", "--for=condition=Available", f"prometheus/{NAME}", "--timeout=120s")
            except Exception as fault:
                fault.add_note(log.read_text())
                raise
            yield watching
            watching("delete", "prometheus", NAME, "--timeout=60s")
    finally:
        watching("delete", "namespace", watching.namespace, "--wait=false")


@pytest.fixture(scope="session")
def gateway(kube: Kube, sink: Kube, operator: str) -> Iterator[Gateway]:
    """A Ready gateway of two pods that asks for a PodMonitor, beside an operator that has one too, and the alerts."""
    assert operator
    install(kube, WATCHED)
    gateway = Gateway(kube, "mail", f"sink.{sink.namespace}.svc")
    gateway.create(replicas=2, monitoring={"podMonitor": WATCHED["podMonitor"]})
    yield gateway
    gateway.delete()


def install(kube: Kube, values: Mapping[str, object]) -> None:
    """Install the chart with other *values*, the images kept."""
    chosen = [f"--set-json={name}={json.dumps(value)}" for name, value in values.items()]
    kube.helm("upgrade", RELEASE, CHART, "--reset-then-reuse-values", "--wait", "--timeout=120s", *chosen)


@pytest.fixture(scope="session")
def prometheus(watching: Kube, gateway: Gateway) -> Iterator[Prometheus]:
    """The Prometheus, once it has scraped the gateway."""
    with watching.port_forward("service/prometheus-operated", 9090) as port:
        prometheus = alerting.Prometheus(f"http://127.0.0.1:{port}")
        scraped = f'smtp_gateway_build_info{{pod="{gateway.pod}"}}'
        eventually_sync(lambda: prometheus.query(scraped), within=120, what="the gateway is scraped", pause=1)
        yield prometheus


@pytest.fixture
def told(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the run's output."""
    return pytestconfig.stash.setdefault(TOLD, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what the Prometheus said."""
    for line in config.stash.get(TOLD, []):
        terminalreporter.write_line(line)
