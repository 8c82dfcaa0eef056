"""`python -m bench [--rows AB] [--rounds 3] [--relays gateway,postfix]`: measure, and write `bench/results/`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.debian import unpacked
from bench.measure import Measurement, limit, measure
from bench.postal import Tools
from bench.relays import RELAYS, require_root
from bench.report import write
from bench.rows import ROWS, Row

CACHE = Path("/var/cache/smtp-gateway-bench")
"""Root's alone to write, and not below the home of root, which the accounts of a relay cannot enter."""


def main() -> int:
    """Measure what the command line asks for."""
    options = arguments()
    require_root()
    CACHE.mkdir(exist_ok=True)
    tools = Tools(unpacked("postfix", CACHE))
    rows = [row for row in ROWS if row.name in options.rows]
    found: list[Measurement] = []
    for number in range(1, options.rounds + 1):
        for row in rows:
            found += one_round(tools, row, options.relays.split(","), number)
    print(write(rows, found))
    return 0


def one_round(tools: Tools, row: Row, relays: list[str], number: int) -> list[Measurement]:
    """Measure each relay once under *row*, one after the other, so that a noisy moment meets all of them alike over the rounds."""
    found = []
    for name in ("limit", *relays):
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))
        folder.chmod(0o755)  # a relay that gives up root has to get through
        try:
            begin = time.monotonic()
            one = limit(tools, row, folder) if name == "limit" else measure(tools, row, (name, RELAYS[name]), folder)
        finally:
            shutil.rmtree(folder)
        found.append(one)
        said = f"{one.accepted:.0f} accepted/s, {one.delivered:.0f} delivered/s, {one.cpu:.0f} us/message"
        print(f"round {number} row {row.name} {name:8} {said} ({time.monotonic() - begin:.0f} s)", file=sys.stderr, flush=True)
    return found


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser("bench", description="The same load on several relays, in one run on the same cores.")
    parser.add_argument("--rows", default="".join(row.name for row in ROWS), help="; ".join(f"{row.name}: {row.meaning}" for row in ROWS))
    parser.add_argument("--rounds", type=int, default=3, help="how often; medians are reported [%(default)s]")
    parser.add_argument("--relays", default=",".join(RELAYS), help="which [%(default)s]")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
