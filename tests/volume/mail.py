"""Clients that send until there is no room, and a gateway on a volume."""

from __future__ import annotations

import asyncio
import smtplib
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from smtp_gateway.config.model import Config, HopTls, Route, Smarthost
from smtp_gateway.config.pace import Retry
from tests.crash.marked import DOMAIN, SENDER, Owed, compose
from tests.support.gateway import PATIENCE, config, running, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from smtp_gateway.app import Gateway
    from tests.crash.around import NextHop

OFTEN = Retry(initial=0.5, maximum=0.5)
"""A deferral is written down for each message twice a second: what a day does to a log, in seconds."""
ARRIVAL = 60.0
"""Seconds within which everything has to arrive: ten times what it takes."""
TLS = trusting()


@dataclass
class Sent:
    """What clients were told."""

    taken: set[Owed] = field(default_factory=set)
    codes: set[int] = field(default_factory=set)
    """The last reply that each client got."""
    fillings: int = 0
    """How often clients were let loose: no message of one filling is taken for one of another."""


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway on a volume, and its next hop."""

    gateway: Gateway
    hop: NextHop

    async def fill(self, sent: Sent, *sizes: int, clients: int) -> None:
        """Send messages of each size, one size after the other, until every client is refused one."""
        sent.fillings += 1
        for size in sizes:
            await asyncio.gather(*(self.send(sent, f"{sent.fillings}-{size}-{number}-", size) for number in range(clients)))

    async def send(self, sent: Sent, name: str, size: int, most: int = 100_000) -> None:
        """Send messages of one size until one is refused, at *most* so many, over one connection; all of them to be told apart by *name*."""
        await asyncio.to_thread(_send, self.gateway.ports["submission"], sent, (f"{name}{number}" for number in range(most)), size)

    async def becomes_ready(self) -> None:
        """Wait until the probe says so."""
        await eventually(lambda: self.gateway.not_ready() is None, PATIENCE, "the gateway is ready")
        assert await self._page("/readyz") == "ok\n"

    async def is_not_ready(self, why: str = "") -> None:
        """Wait until the probe says why not."""

        def told() -> bool:
            reason = self.gateway.not_ready()
            return reason is not None and why in reason

        await eventually(told, PATIENCE, f"the gateway is not ready: {why}")
        assert await self._page("/readyz") != "ok\n"

    async def deferrals(self, number: int) -> None:
        """Wait until so many more deferrals were counted."""
        first = now = await self._deferred()
        deadline = time.monotonic() + ARRIVAL
        while now < first + number:
            assert time.monotonic() < deadline, f"{now - first} of {number} deferrals"
            await asyncio.sleep(0.1)
            now = await self._deferred()

    async def _deferred(self) -> float:
        lines = (await self._page("/metrics")).splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("smtp_gateway_deferred_recipients_total{"))

    async def _page(self, path: str) -> str:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.gateway.http_port}{path}") as answer:
            return await answer.text()

    async def arrives(self, sent: Sent) -> None:
        """Wait until the next hop has all that was acknowledged, octet for octet and once."""
        await eventually(lambda: sent.taken <= self.hop.arrived, ARRIVAL, "everything acknowledged arrives")
        assert self.hop.damaged == []
        assert {one: times for one, times in self.hop.delivered.items() if times > 1} == {}


@asynccontextmanager
async def site(folder: Path, hop: NextHop, reserve: int | None = None) -> AsyncIterator[Site]:
    """Run a gateway with its spool in *folder*/spool."""
    async with running(folder, configuration(hop, reserve)) as gateway:
        yield Site(gateway, hop)


def configuration(hop: NextHop, reserve: int | None) -> Config:
    """Return a configuration that relays to *hop*, and defers often."""
    smarthost = Smarthost(host="127.0.0.1", port=hop.port, tls=HopTls.NONE)
    route = Route(name="default", smarthosts=(smarthost,), retry=OFTEN)
    return config().model_copy(update={"routes": (route,), "reserve": reserve})


def _send(port: int, sent: Sent, markers: Iterator[str], size: int) -> None:
    with smtplib.SMTP("localhost", port, local_hostname="client.example", timeout=PATIENCE) as smtp:
        smtp.starttls(context=TLS)
        smtp.login("app", "secret")
        for marker in markers:
            recipient = f"a-{marker}@{DOMAIN}"
            try:
                smtp.sendmail(SENDER, [recipient], compose(marker, size))
            except smtplib.SMTPSenderRefused as refused:
                sent.codes.add(refused.smtp_code)
                return
            except smtplib.SMTPDataError as refused:
                sent.codes.add(refused.smtp_code)
                return
            sent.taken.add((marker, recipient))
