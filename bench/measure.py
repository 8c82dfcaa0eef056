"""One measurement: one relay, one row."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.postal import Sink, Tools, send
from bench.processes import Peak, cpu_seconds
from bench.relays import Relay, Setting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.rows import Row


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run came to."""

    relay: str
    row: str
    accepted: float
    """Messages a second until the last one was acknowledged to its client."""
    delivered: float
    """Messages a second until the last one was taken by the next hop."""
    cpu: float = 0.0
    """Microseconds of processor time that the relay used for a message."""
    rss: float = 0.0
    """The most that all its processes held, in MiB; shared pages count for each."""
    pss: float = 0.0
    """The same, with shared pages divided by those who share them."""


def limit(tools: Tools, row: Row, folder: Path) -> Measurement:
    """Measure the source straight into the sink: what no relay can exceed."""
    with Sink(tools, folder / "sink") as sink:
        begin = time.monotonic()
        send(tools, row, sink.port)
        rate = row.messages / (sink.wait_for(row.messages) - begin)
    return Measurement("limit", row.name, rate, rate)


def measure(tools: Tools, row: Row, relay: tuple[str, Callable[[Setting], Relay]], folder: Path) -> Measurement:
    """Start the relay, send the messages of *row*, wait until all have arrived, and end it."""
    name, start = relay
    with Sink(tools, folder / "sink") as sink:
        work = folder / name
        work.mkdir()
        running = start(Setting(work, sink.port, tools))
        try:
            cpu, begin = cpu_seconds(running.process.pid), time.monotonic()
            with Peak(running.process.pid) as peak:
                send(tools, row, running.port)
                acknowledged = time.monotonic()
                arrived = sink.wait_for(row.messages)
            cpu = cpu_seconds(running.process.pid) - cpu
        finally:
            running.stop()
    return Measurement(
        name,
        row.name,
        accepted=row.messages / (acknowledged - begin),
        delivered=row.messages / (arrived - begin),
        cpu=cpu / row.messages * 1e6,
        rss=peak.most.rss / 2**20,
        pss=peak.most.pss / 2**20,
    )
