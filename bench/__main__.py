"""`python -m bench [--accept] [--rows AB] [--rounds 3] [--relays gateway,postfix] [--scale 0.1] [--results FOLDER]`: measure, and write the results."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import plot
from bench.acceptance import TAKERS, accept
from bench.machine import facts
from bench.measure import LIMIT, Measurement, limit, measure
from bench.relays import RELAYS
from bench.report import RESULTS, Report
from bench.rows import ROWS, Row
from bench.tools import Tools, require_root


def main() -> int:
    """Measure what the command line asks for; the rows with the next hop off have a report of their own."""
    options = arguments()
    require_root()
    tools = Tools()
    tools.prepare()
    rows = [scaled(row, options.scale) for row in ROWS if row.name in options.rows and (row.accept_only or not options.accept)]
    found: list[Measurement] = []
    for number in range(1, options.rounds + 1):
        for row in rows:
            found += one_round(tools, row, of(row, options.relays), number)
    for part in ([row for row in rows if not row.accept_only], [row for row in rows if row.accept_only]):
        if part:
            mine = [one for one in found if any(one.row == row.name for row in part)]
            report = Report(part, mine, facts(tools, of(part[0], options.relays)), datetime.now(UTC).date().isoformat())
            plot.draw(report, report.write(options.results).with_suffix(".png"))
            print(report.markdown())
    return 0


def of(row: Row, names: list[str]) -> list[str]:
    """Return which of the relays called *names* can do *row*."""
    return [name for name in names if name in (TAKERS if row.accept_only else RELAYS)]


def one_round(tools: Tools, row: Row, relays: list[str], number: int) -> list[Measurement]:
    """Measure each relay once under *row*, one after the other, so that a noisy moment meets all of them alike over the rounds."""
    found = []
    for name in (LIMIT, *relays):
        begin = time.monotonic()
        with tools.folder() as folder:
            one = limit(tools, row, folder) if name == LIMIT else (accept if row.accept_only else measure)(tools, row, name, folder)
        found.append(one)
        delivered = f"{one.delivered:6.0f} delivered/s " if one.delivered else ""
        said = f"{one.accepted:6.0f} accepted/s {delivered}{one.cpu:6.0f} us/message {one.steal:3.0f} % steal"
        print(f"round {number} row {row.name} {name:8} {said} ({time.monotonic() - begin:.0f} s)", file=sys.stderr, flush=True)
    return found


def scaled(row: Row, scale: float) -> Row:
    """Return *row* with another number of messages, for a quick look."""
    return dataclasses.replace(row, messages=max(round(row.messages * scale), row.sessions))


def relays(text: str) -> list[str]:
    """Return the names in *text*. Raises `ArgumentTypeError` for one that no relay has."""
    names = text.split(",")
    for name in names:
        if name not in RELAYS | TAKERS:
            message = f"no relay is called {name}; there are {', '.join(RELAYS | TAKERS)}"
            raise argparse.ArgumentTypeError(message)
    return names


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    every = ",".join(dict.fromkeys((*TAKERS, *RELAYS)))
    parser = argparse.ArgumentParser("bench", description="The same load on several relays, in one run on the same cores.")
    parser.add_argument("--rows", default="".join(row.name for row in ROWS), help="; ".join(f"{row.name}: {row.meaning}" for row in ROWS))
    parser.add_argument("--accept", action="store_true", help="only the rows with the next hop off, in which mail is taken and kept")
    parser.add_argument("--rounds", type=int, default=3, help="how often; medians are reported [%(default)s]")
    parser.add_argument("--relays", type=relays, default=every, help="which; each runs in the rows that it can do [%(default)s]")
    parser.add_argument("--scale", type=float, default=1.0, help="messages as a multiple of each row's own number [%(default)s]")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results [bench/results]")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
