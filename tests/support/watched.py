"""A gateway in a cluster as its dashboard shows it: a Prometheus on this machine scrapes its pods through the API server. Standard library only."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.prometheus import Target, scraping
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.server import Server
    from tests.support.kube import Kube

ROOT = Path(__file__).resolve().parent.parent.parent
ALERTS = ROOT / "charts/smtp-gateway-operator/files/alerts.yaml"
INTERVAL = 2
"""Seconds between two scrapes."""
SCRAPES = 20
"""Scrapes of each pod that make a picture."""
WITHIN = 180.0
"""Seconds for them; the API server may be slow in answering."""
PODS = "app.kubernetes.io/name in (smtp-gateway, smtp-gateway-operator)"
"""The gateways' and the operator's."""


def targets(kube: Kube, port: int) -> list[Target]:
    """Return the running pods of a namespace, each behind the API server's proxy on *port* of this machine."""
    names = [one["metadata"]["name"] for one in kube.get("pods", "-l", PODS, "--field-selector=status.phase=Running")]
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{{}}:8080/proxy/metrics"
    return [Target(f"127.0.0.1:{port}", {"namespace": kube.namespace, "pod": name}, path.format(name)) for name in names]


def scrapes(server: Server) -> float:
    """Return how often the pod with the fewest scrapes was scraped with success."""
    return min((one.points[-1][1] for one in server.now("sum_over_time(up[1h])")), default=0)


def draw(kube: Kube, file: Path, busy: Callable[[], object]) -> None:
    """Scrape the pods in the namespace of *kube* while *busy* is called again and again, and draw the fleet's dashboard into *file*.

    Needs the project's virtual environment, for matplotlib. Raises `DeadlinePassedError` and `CommandError`.
    """
    begin = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        kube.proxy() as port,
        scraping(targets(kube, port), ALERTS, Path(folder), INTERVAL) as server,
    ):
        eventually_sync(lambda: busy() or scrapes(server) >= SCRAPES, WITHIN, "every pod was scraped often enough", pause=INTERVAL)
        minutes = (time.monotonic() - begin) / 60
        command = [str(ROOT / ".venv/bin/python"), "-m", "dashboards.picture", "fleet", str(file), f"--server={server.address}"]
        chosen = [f"--minutes={minutes:.2f}", f"--rate-interval={10 * INTERVAL}s", f"--namespace={kube.namespace}"]
        subprocess.run([*command, *chosen], cwd=ROOT, check=True)
