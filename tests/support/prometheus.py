"""Debian's Prometheus, unpacked and not installed, scraping what a test names. Standard library only."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboards.server import Server
from tests.support.promtool import promtool
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

INTERVAL = 1
"""Seconds between two scrapes, where nothing else is said."""
RATE_INTERVAL = f"{10 * INTERVAL}s"
"""What is put in for `$__rate_interval` then: Grafana takes four scrapes, and on a busy machine some of a second's scrapes are missed."""
PATIENCE = 30.0
"""Seconds that its start and its end may take."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that shows metrics."""

    address: str
    """Host and port."""
    labels: Mapping[str, str]
    """What a scrape of its pod would add: `namespace` and `pod`."""
    path: str = "/metrics"


def _configuration(targets: Sequence[Target], rules: Path, interval: int) -> dict[str, Any]:
    jobs = [
        {
            "job_name": "/".join([*one.labels.values(), one.path]),
            "metrics_path": one.path,
            "static_configs": [{"targets": [one.address], "labels": dict(one.labels)}],
        }
        for one in targets
    ]
    times = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{interval}s")
    return {"global": times, "rule_files": [str(rules.resolve())], "scrape_configs": jobs}


@contextmanager
def scraping(targets: Sequence[Target], rules: Path, folder: Path, interval: int = INTERVAL) -> Iterator[Server]:
    """Run one with the alerts in *rules*, which keeps what it scrapes in *folder*, until the end."""
    with running(folder, _configuration(targets, rules, interval)) as address:
        yield Server(address)


@contextmanager
def running(folder: Path, configuration: Mapping[str, Any]) -> Iterator[str]:
    """Run one with everything of it in *folder*, on a port of the system's choice, until the end; yield its address once it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    file, log = folder / "prometheus.yml", folder / "prometheus.log"
    file.write_text(json.dumps(configuration))  # JSON is YAML too
    line = [str(promtool().with_name("prometheus")), f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    with log.open("w") as output:
        process = subprocess.Popen([*line, "--web.listen-address=127.0.0.1:0"], stdout=output, stderr=output)
    try:
        yield f"http://127.0.0.1:{_port(process, log)}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _port(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until *process* is ready, and return its port."""
    ready = "Server is ready to receive web requests"
    eventually_sync(lambda: process.poll() is not None or ready in log.read_text(), PATIENCE, "Prometheus is ready", pause=0.1)
    found = re.search(r"Listening on\W+address=127\.0\.0\.1:(\d+)", log.read_text())
    assert found, log.read_text()
    return found[1]
