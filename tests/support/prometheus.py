"""Debian's Prometheus, unpacked and not installed, scraping what a test names. Standard library only."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashboards.server import QueryError, Server
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
"""Seconds that it may take to start."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that shows metrics."""

    address: str
    """Host and port."""
    labels: Mapping[str, str]
    """What a scrape of its pod would add: `namespace` and `pod`."""
    path: str = "/metrics"


def _configuration(targets: Sequence[Target], rules: Path, interval: int) -> str:
    """Return a configuration, as JSON, which is YAML too."""
    jobs = [
        {
            "job_name": "/".join([*one.labels.values(), one.path]),
            "metrics_path": one.path,
            "static_configs": [{"targets": [one.address], "labels": dict(one.labels)}],
        }
        for one in targets
    ]
    times = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{interval}s")
    return json.dumps({"global": times, "rule_files": [str(rules.resolve())], "scrape_configs": jobs})


@contextmanager
def scraping(targets: Sequence[Target], rules: Path, folder: Path, interval: int = INTERVAL) -> Iterator[Server]:
    """Run one with the alerts in *rules*, which keeps what it scrapes in *folder*, on a port of the system's choice, until the end."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(_configuration(targets, rules, interval))
    log = folder / "prometheus.log"
    line = [str(promtool().with_name("prometheus")), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with log.open("w") as output:
        process = subprocess.Popen([*line, "--web.listen-address=127.0.0.1:0"], stdout=output, stderr=output)
    try:
        server = Server(f"http://127.0.0.1:{_port(process, log)}")
        eventually_sync(lambda: _answers(server), PATIENCE, f"Prometheus answers: {log}")
        yield server
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _port(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until *process* listens, and return its port."""
    pattern = re.compile(r"msg=\"?Listening on\"? address=127\.0\.0\.1:(\d+)")
    eventually_sync(lambda: process.poll() is not None or pattern.search(log.read_text()), PATIENCE, "Prometheus listens")
    found = pattern.search(log.read_text())
    assert found, log.read_text()
    return found[1]


def _answers(server: Server) -> bool:
    try:
        return bool(server.now("vector(1)"))
    except (OSError, QueryError):
        return False
