"""`python -m bench.memory [--sessions 100] [--mebibytes 10] [--idle 1000] [--relays gateway]`: what a relay holds for many clients at a time.

Each client sends one message, all at the same time: in the clear, with STARTTLS and AUTH, and the gateway under implicit TLS too. The figure is the kernel's high-water mark
of the resident set (VmHWM, proc(5)), summed over the processes that are alive when all messages have arrived. Then a thousand connections
are opened that stay idle (`bench.idle`).
"""

from __future__ import annotations

import argparse
import subprocess
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from bench.idle import HEAD as IDLE_HEAD
from bench.idle import idle
from bench.postal import Sink, send
from bench.processes import Peak, high_water
from bench.relay import Setting
from bench.relays import RELAYS
from bench.report import RESULTS
from bench.rows import Row
from bench.tools import Tools, require_root

BOUND = 150
"""MiB that the gateway may hold under a hundred messages of 10 MB."""
HEAD = "| relay | messages | at rest MiB | peak RSS MiB | peak PSS MiB | at most 150 MiB |\n|---|---|--:|--:|--:|---|"


def peak(tools: Tools, row: Row, name: str, folder: Path) -> str:
    """Start the relay called *name*, send the messages of *row*, wait until all have arrived; return the table's line."""
    with Sink(tools, folder / "sink") as sink:
        work = folder / name
        work.mkdir()
        relay = RELAYS[name](Setting(work, sink.port, tools, secured=row.secured, implicit=row.implicit))
        try:
            rest = high_water(relay.group.pids())
            with Peak(relay.group) as sampled:
                refused = not _all_taken(tools, row, relay.port)
                if not refused:
                    sink.wait_for(row.messages)
            most = max(high_water(relay.group.pids()), sampled.most.rss)
        finally:
            relay.stop()
    kept = "**no**: a message was refused" if refused else "yes" if most / 2**20 <= BOUND else "**no**"
    return f"| {name} | {row.meaning} | {rest / 2**20:.0f} | {most / 2**20:.0f} | {sampled.most.pss / 2**20:.0f} | {kept} |"


def _all_taken(tools: Tools, row: Row, port: int) -> bool:
    """Send the messages of *row*; return whether every one was acknowledged. What was refused costs no memory and proves nothing."""
    try:
        send(tools, row, port)
    except subprocess.CalledProcessError:
        return False
    return True


def main() -> int:
    """Measure what the command line asks for."""
    options = arguments()
    require_root()
    tools = Tools()
    tools.prepare()
    day = datetime.now(UTC).date().isoformat()
    lines = [f"# {day}: memory under {options.sessions} concurrent messages of {options.mebibytes} MiB\n", HEAD]
    names = options.relays.split(",")
    for name, row in product(names, rows(options.sessions, options.mebibytes)):
        if row.implicit and name != "gateway":
            continue
        with tools.folder() as folder:
            lines.append(peak(tools, row, name, folder))
        print(lines[-1], flush=True)
    lines += ["\n## After STARTTLS and AUTH\n", IDLE_HEAD]
    for name in names:
        with tools.folder() as folder:
            lines.append(idle(tools, options.idle, name, folder))
        print(lines[-1], flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{day}-memory.md").write_text("\n".join(lines) + "\n")
    return 0


def rows(sessions: int, mebibytes: int) -> tuple[Row, Row, Row]:
    """Return what is sent: *sessions* messages, all at a time, in the clear and encrypted in both ways."""
    size = mebibytes * 2**20
    clear = Row("M", "in the clear", size, sessions, sessions=sessions)
    started = Row("M", "STARTTLS and AUTH", size, sessions, sessions=sessions, secured=True)
    return clear, started, Row("M", "implicit TLS and AUTH", size, sessions, sessions=sessions, secured=True, implicit=True)


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser("bench.memory", description="What a relay holds for many clients at a time.")
    parser.add_argument("--sessions", type=int, default=100, help="messages at a time, one a connection [%(default)s]")
    parser.add_argument("--mebibytes", type=int, default=10, help="size of a message [%(default)s]")
    parser.add_argument("--idle", type=int, default=1000, help="connections that send nothing [%(default)s]")
    parser.add_argument("--relays", default="gateway", help=f"of {', '.join(RELAYS)} [%(default)s]")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results [bench/results]")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
