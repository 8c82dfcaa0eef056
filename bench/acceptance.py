"""One measurement of taking mail alone: the next hop is off, and a relay keeps what it was given, durably.

*Off* is a next hop that lets itself be connected to and says nothing, the same for all relays, which are set up as for the other rows.
Their few attempts wait for its greeting, and the rest of the mail waits for those. A next hop that refuses connections would measure more
than taking: each message is then deferred at once, with a log line and a second write to the queue.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import interpreter, postfix, relay
from bench.machine import ticks
from bench.measure import Measurement, SplitError, per_message, warm_up
from bench.postal import demand_login, free_port, send
from bench.processes import Peak
from bench.relay import Relay, Setting
from bench.relays import gateway
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.rows import Row
    from bench.tools import Tools


@dataclass(frozen=True, slots=True)
class Taker:
    """A relay that can take mail while its next hop is off."""

    start: Callable[[Setting], Relay]
    queued: Callable[[Path], int]
    """Counts the messages in the queue of a relay that has ended, from the relay's folder."""


def unmodified(setting: Setting) -> Relay:
    """Start aiosmtpd as it comes, with a handler that puts into this project's spool, behind which there is nothing."""
    port = free_port()
    relay.certificate(setting)
    whom = "logins" if setting.secured else "everybody"
    command = [str(setting.tools.python), "-m", "bench.unmodified", str(setting.folder), str(port), whom]
    return relay.start(setting, command, port, interpreter.environment())


def spooled(folder: Path) -> int:
    """Count what is in the spool below *folder*: after the commits that its process acknowledged, nothing else can."""
    return asyncio.run(_depth(folder / "spool"))


async def _depth(folder: Path) -> int:
    spool = await DiskSpool.open(folder, NullObserver())
    try:
        return spool.depth().messages
    finally:
        await spool.close()


TAKERS = {
    "gateway": Taker(gateway, spooled),
    "aiosmtpd": Taker(unmodified, spooled),
    "postfix": Taker(postfix.start, postfix.queued),
}
"""By the names under which they are reported."""


def silent_hop() -> socket.socket:
    """Return a next hop: the kernel lets relays connect to it, and nobody accepts from it. What waits there is reset when it is closed."""
    return socket.create_server(("127.0.0.1", 0), backlog=1000)


@contextmanager
def started(name: str, setting: Setting) -> Iterator[Relay]:
    """Give the relay called *name*, and end it."""
    running = TAKERS[name].start(setting)
    try:
        yield running
    finally:
        running.stop()


def accept(tools: Tools, row: Row, name: str, folder: Path) -> Measurement:
    """Start the relay called *name* without a next hop, send the messages of *row*, end it, and count its queue.

    Raises `SplitError` when the queue does not hold what was acknowledged, and `OpenError`.
    """
    work = folder / name
    work.mkdir()
    warm = warm_up(row)
    hop = silent_hop()
    setting = Setting(work, hop.getsockname()[1], tools, secured=row.secured)
    # The hop goes first: an attempt that waits for it would hold up the end of the relay.
    with hop, started(name, setting) as running, hop:
        if row.secured:
            demand_login(running.port)
        send(tools, warm, running.port)
        with Peak(running.group) as peak:
            before, cpu, begin = ticks(), running.group.cpu_seconds(), time.monotonic()
            send(tools, row, running.port)
            seconds = time.monotonic() - begin
            used, cpu = ticks() - before, running.group.cpu_seconds() - cpu
    given, queued = warm.messages + row.messages, TAKERS[name].queued(work)
    if queued != given:
        message = f"{name} acknowledged {given} messages and keeps {queued}"
        raise SplitError(message)
    return Measurement(
        name,
        row.name,
        accepted=row.messages / seconds,
        cpu=per_message(cpu, row),
        rss=peak.most.rss / 2**20,
        pss=peak.most.pss / 2**20,
        busy=per_message(used.busy, row),
        steal=used.steal_percent,
    )
