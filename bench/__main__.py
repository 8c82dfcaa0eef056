"""`python -m bench [--rows AB] [--rounds 3] [--relays gateway,postfix] [--scale 0.1] [--results FOLDER]`: measure, and write the results."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import plot
from bench.machine import facts
from bench.measure import LIMIT, Measurement, limit, measure
from bench.relays import RELAYS
from bench.report import RESULTS, Report
from bench.rows import ROWS, Row
from bench.tools import Tools, require_root


def main() -> int:
    """Measure what the command line asks for."""
    options = arguments()
    require_root()
    tools, relays = Tools(), options.relays.split(",")
    tools.prepare()
    rows = [scaled(row, options.scale) for row in ROWS if row.name in options.rows]
    found: list[Measurement] = []
    for number in range(1, options.rounds + 1):
        for row in rows:
            found += one_round(tools, row, relays, number)
    report = Report(rows, found, facts(tools, relays), datetime.now(UTC).date().isoformat())
    path = report.write(options.results)
    plot.draw(report, path.with_suffix(".png"))
    print(report.markdown())
    return 0


def one_round(tools: Tools, row: Row, relays: list[str], number: int) -> list[Measurement]:
    """Measure each relay once under *row*, one after the other, so that a noisy moment meets all of them alike over the rounds."""
    found = []
    for name in (LIMIT, *relays):
        begin = time.monotonic()
        with tools.folder() as folder:
            one = limit(tools, row, folder) if name == LIMIT else measure(tools, row, name, folder)
        found.append(one)
        said = f"{one.accepted:6.0f} accepted/s {one.delivered:6.0f} delivered/s {one.cpu:6.0f} us/message {one.steal:3.0f} % steal"
        print(f"round {number} row {row.name} {name:8} {said} ({time.monotonic() - begin:.0f} s)", file=sys.stderr, flush=True)
    return found


def scaled(row: Row, scale: float) -> Row:
    """Return *row* with another number of messages, for a quick look."""
    return dataclasses.replace(row, messages=max(round(row.messages * scale), row.sessions))


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser("bench", description="The same load on several relays, in one run on the same cores.")
    parser.add_argument("--rows", default="".join(row.name for row in ROWS), help="; ".join(f"{row.name}: {row.meaning}" for row in ROWS))
    parser.add_argument("--rounds", type=int, default=3, help="how often; medians are reported [%(default)s]")
    parser.add_argument("--relays", default=",".join(RELAYS), help="which [%(default)s]")
    parser.add_argument("--scale", type=float, default=1.0, help="messages as a multiple of each row's own number [%(default)s]")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results [bench/results]")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
