"""Debian's Prometheus beside a cluster: it scrapes pods through the API, and judges them by the product's own alerts.

Its binary is unpacked, not installed. Nothing has to be reachable from outside the cluster but the API server.
"""

from __future__ import annotations

import copy
import json
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support import prometheus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tests.support.kube import Kube

PORT_NAME = "http-metrics"
"""Of the port with the metrics: what the PodMonitors, the chart's and the gateways', select."""
PATIENCE = 30.0
"""Seconds that one answer may take."""
_UNITS = {"s": 1, "m": 60, "h": 3600}


def hastened(rules: dict[str, Any], by: int) -> dict[str, Any]:
    """Return the groups of a rule file with each alert's `for` divided by *by*, and nothing else changed, windows in expressions included."""
    changed = copy.deepcopy(rules)
    for rule in (rule for group in changed["groups"] for rule in group["rules"] if "for" in rule):
        rule["for"] = f"{1000 * seconds(rule['for']) // by}ms"
    return changed


def seconds(duration: str) -> int:
    """Return what a duration of one unit, as the alerts have them, is in seconds."""
    return int(duration[:-1]) * _UNITS[duration[-1]]


def targets(proxy: str, pods: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the targets of *pods*, Pod objects: each port named `PORT_NAME` of one that runs, through the API at *proxy*.

    They have the labels that the Prometheus Operator's scrape of a PodMonitor gives: `namespace`, `pod`, `container`, `endpoint`, `job` and
    `instance`. A label of the same name in what is scraped becomes `exported_`.
    """
    return [
        {"targets": [proxy], "labels": _labels(pod, container["name"], port["containerPort"])}
        for pod in pods
        if pod["status"]["phase"] == "Running"
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
        if port.get("name") == PORT_NAME
    ]


def _labels(pod: Mapping[str, Any], container: str, port: int) -> dict[str, str]:
    metadata = pod["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    return {
        "namespace": namespace,
        "pod": name,
        "container": container,
        "endpoint": PORT_NAME,
        "job": f"{namespace}/{metadata['labels']['app.kubernetes.io/instance']}",
        "instance": f"{pod['status']['podIP']}:{port}",
        "__metrics_path__": f"/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/metrics",
    }


@dataclass(frozen=True, slots=True)
class Discovery:
    """Finds the pods of a namespace for the Prometheus, each time that it is told to."""

    kube: Kube
    proxy: str
    """Where the API can be reached without credentials: host and port."""
    file: Path
    """Where the Prometheus reads what was found."""

    def look(self) -> None:
        """Let the Prometheus know the pods that there are now."""
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(targets(self.proxy, self.kube.get("pods"))))
        partial.replace(self.file)


def configuration(found: Path, rules: Path) -> dict[str, Any]:
    """Return what scrapes the targets in the file *found* every two seconds, also when it changes, and evaluates the rules in the file *rules*."""
    # Debian builds Prometheus without the discovery of Kubernetes' objects.
    job = {"job_name": "pods", "file_sd_configs": [{"files": [str(found)]}]}
    times = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    return {"global": times, "rule_files": [str(rules)], "scrape_configs": [job]}


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that answers, over its HTTP API (v1)."""

    address: str
    """Such as `http://127.0.0.1:9090`."""

    def query(self, expr: str) -> list[dict[str, str]]:
        """Return the labels of each series that *expr* has now."""
        return [one["metric"] for one in self.ask("query", query=expr)["result"]]

    def alerts(self, state: str = "firing") -> list[dict[str, str]]:
        """Return the labels of each alert in *state*, `pending` or `firing`."""
        return [one["labels"] for one in self.ask("alerts")["alerts"] if one["state"] == state]

    def ask(self, what: str, **parameters: str) -> Any:
        """Return what an endpoint answers. Raises `OSError` while nobody does."""
        url = f"{self.address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 an http URL
            return json.load(answer)["data"]


@contextmanager
def running(folder: Path, config: dict[str, Any]) -> Iterator[Prometheus]:
    """Run one with *config*, everything of it in *folder*, on a port of the system's choice, until the end."""
    with prometheus.running(folder, config) as address:
        yield Prometheus(address)
