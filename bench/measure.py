"""One measurement: one relay, one row."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.machine import ticks
from bench.postal import Sink, demand_login, secured_sink, send
from bench.processes import Peak
from bench.relay import Setting
from bench.relays import RELAYS

if TYPE_CHECKING:
    from pathlib import Path

    from bench.rows import Row
    from bench.tools import Tools

LIMIT = "limit"
"""The name of what is no relay: the source straight into the sink."""


class SplitError(Exception):
    """A relay passed on, or kept, another number of messages than it was given, so its rates cannot be compared."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run came to."""

    relay: str
    row: str
    accepted: float
    """Messages a second until the last one was acknowledged to its client."""
    delivered: float = 0.0
    """Messages a second until the last one was taken by the next hop; 0 when that was off."""
    cpu: float = 0.0
    """Microseconds of processor time that the relay used for a message."""
    rss: float = 0.0
    """The most that all its processes held, in MiB; shared pages count for each."""
    pss: float = 0.0
    """The same, with shared pages divided by those who share them."""
    busy: float = 0.0
    """Microseconds for a message that the cores were busy in all, with source, sink and the kernel's own threads."""
    steal: float = 0.0
    """Percent of the cores' time that the hypervisor gave to others meanwhile; a run with more than a few is noise."""

    @property
    def rate(self) -> float:
        """Return the messages a second by which relays are compared: to the next hop, or into the queue when that is all there is."""
        return self.delivered or self.accepted


def limit(tools: Tools, row: Row, folder: Path) -> Measurement:
    """Measure the source straight into the sink: what no relay can exceed."""
    with (secured_sink if row.secured else Sink)(tools, folder / "sink") as sink:
        before, begin = ticks(), time.monotonic()
        send(tools, row, sink.port)
        rate = row.messages / (sink.wait_for(row.messages) - begin)
        used = ticks() - before
    return Measurement(LIMIT, row.name, rate, rate, busy=per_message(used.busy, row), steal=used.steal_percent)


def measure(tools: Tools, row: Row, name: str, folder: Path) -> Measurement:
    """Start the relay called *name*, send the messages of *row*, wait until all have arrived, and end it. Raises `SplitError`, `OpenError`."""
    with Sink(tools, folder / "sink") as sink:
        work = folder / name
        work.mkdir()
        running = RELAYS[name](Setting(work, sink.port, tools, secured=row.secured))
        try:
            if row.secured:
                demand_login(running.port)
            warm = warm_up(row)
            send(tools, warm, running.port)
            sink.wait_for(warm.messages)
            before, cpu, begin = ticks(), running.group.cpu_seconds(), time.monotonic()
            with Peak(running.group) as peak:
                send(tools, row, running.port)
                acknowledged = time.monotonic()
                arrived = sink.wait_for(warm.messages + row.messages)
            used, cpu = ticks() - before, running.group.cpu_seconds() - cpu
        finally:
            running.stop()
        if sink.taken() != warm.messages + row.messages:
            message = f"{name} was given {warm.messages + row.messages} messages and passed on {sink.taken()}"
            raise SplitError(message)
    return Measurement(
        name,
        row.name,
        accepted=row.messages / (acknowledged - begin),
        delivered=row.messages / (arrived - begin),
        cpu=per_message(cpu, row),
        rss=peak.most.rss / 2**20,
        pss=peak.most.pss / 2**20,
        busy=per_message(used.busy, row),
        steal=used.steal_percent,
    )


def warm_up(row: Row) -> Row:
    """Return what is sent before the clock starts: processes are there then, connections kept, and code compiled where that is done late."""
    return dataclasses.replace(row, messages=max(row.messages // 20, row.sessions))


def per_message(seconds: float, row: Row) -> float:
    """Return the microseconds for a message of *row* that *seconds* for all of them are."""
    return seconds / row.messages * 1e6
