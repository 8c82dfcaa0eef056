"""`python -m tests.chart.pictures`: the pictures of the dashboards in the README, from some minutes of gateways under load on this machine."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from dashboards.committed import Choice, names
from dashboards.picture import POINTS, picture
from dashboards.server import Span
from tests.support.observed import observed
from tests.unit.operator.setting import KEY

IMAGES = Path("docs/images")
PODS = ("mail-0", "mail-1")


def main() -> None:
    """Let *minutes* pass under load, with one of the pods out of room for a moment in the midst of them; draw all dashboards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    seconds = 60 * parser.parse_args().minutes
    choice = Choice(KEY.namespace, KEY.name, rate_interval="30s")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, observed(Path(folder), PODS, pause=0.5) as world:
        time.sleep(seconds / 2)
        with world.pods[0].out_of_room():
            world.pods[0].send("you@there.example")
        time.sleep(seconds / 2)
        now = time.time()
        for name in names():
            (IMAGES / f"dashboard-{name}.png").write_bytes(picture(name, world.server, choice, Span(now - seconds, now, seconds / POINTS)))


if __name__ == "__main__":
    main()
