"""What dashboards show: gateways under load, with something of every kind going wrong, an operator, and a Prometheus that scrapes them.

The gateways are processes as in pods; the operator is its reconciler on a cluster in memory, with its own metrics on its own page. What
differs from a cluster is who says which pod is scraped: here each target has its labels given, there the Prometheus Operator finds them.
"""

from __future__ import annotations

import asyncio
import base64
import resource
import socket
import threading
import time
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from smtp_gateway.config.model import Config, HopTls, Limits, Listener, ListenerTls, Route, Smarthost
from smtp_gateway.config.pace import Pacing, Retry
from smtp_gateway_operator.startup import pages
from smtp_gateway_operator.workqueue import Pace, WorkQueue
from tests.chart.readme import CHART
from tests.pipeline.test_delivery_tls import server_context
from tests.support.background import background
from tests.support.gateway import authority, login, process
from tests.support.pods import mail_client
from tests.support.prometheus import Target, scraping
from tests.support.sink import Sink
from tests.unit.operator.setting import KEY, Setting
from tests.unit.operator.setting import resource as gateway_resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dashboards.server import Server
    from tests.support.background import Background
    from tests.support.gateway import Process

MOST_CONNECTIONS = 8
"""Connections that one client may have."""
DOWN, SLOW, BUSY = "down.example", "slow.example", "busy.example"
"""Domains whose next hop is not there, takes a message a second, and asks for less."""
NOBODY = "nobody@there.example"
"""A recipient that its next hop refuses."""
PATIENCE = 60.0
"""Seconds that clients may take to end."""
USUAL = ("you@there.example", f"you@{SLOW}", f"you@{BUSY}", f"you@{DOWN}", NOBODY)
"""Recipients of every kind."""


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def configuration(sink: int, down: int) -> Config:
    """Return that of the gateways: routes to a next hop on port *sink*, and one to port *down*, where nobody listens."""

    def hop(port: int) -> tuple[Smarthost, ...]:
        return (Smarthost(host="127.0.0.1", port=port, tls=HopTls.OPPORTUNISTIC),)

    retry = Retry(initial=1.0, maximum=60.0, factor=3.0)
    return Config(
        hostname="mail.example.com",
        listeners=(Listener(name="submission", port=587), Listener(name="submissions", port=465, tls=ListenerTls.IMPLICIT)),
        logins=(login(), login("shop", identity="shop-logins")),
        routes=(
            Route(name="down", recipient_domains=(DOWN,), smarthosts=hop(down), retry=retry),
            Route(name="slow", recipient_domains=(SLOW,), smarthosts=hop(sink), retry=retry, pacing=Pacing(messages_per_second=1)),
            Route(name="busy", recipient_domains=(BUSY,), smarthosts=hop(sink), retry=retry),
            Route(name="default", smarthosts=hop(sink), retry=retry),
        ),
        limits=Limits(connections_per_client=MOST_CONNECTIONS),
    )


@dataclass
class Pod:
    """One gateway process, and what clients do to it."""

    name: str
    gateway: Process

    @property
    def target(self) -> Target:
        """Return where its metrics are, with the labels that a scrape of a pod has."""
        port = self.gateway.events("probes and metrics")[-1]["port"]
        return Target(f"127.0.0.1:{port}", {"namespace": KEY.namespace, "pod": self.name})

    def send(self, *recipients: str, size: int = 200, **changed: Any) -> list[int]:
        """Send a message to each of *recipients* in one session; return the codes of the answers."""
        data = base64.b64encode(f"Subject: Hello\r\n\r\n{'x' * size}\r\n".encode()).decode()
        messages = [{"sender": "me@example.com", "recipients": [one], "data": data} for one in recipients]
        job: dict[str, Any] = {"host": "localhost", "port": self.gateway.ports["submission"], "tls": "StartTLS", "messages": messages}
        job |= {"authority": authority().cert_pem.bytes().decode(), "login": "app", "password": "secret"}
        return [one["code"] for one in mail_client.send(job | changed)]

    def go_wrong(self) -> None:
        """Do what clients do wrong: no login, a wrong one, no TLS where there must be, and too many connections."""
        self.send("you@there.example", login="")
        self.send("you@there.example", password="wrong")
        with suppress(ConnectionResetError), self._connected("submissions") as plain:
            plain.sendall(b"EHLO client.example\r\n\r\n")
            plain.recv(1000)
        with suppress(ConnectionResetError), ExitStack() as crowd:
            for _ in range(MOST_CONNECTIONS + 1):
                one = crowd.enter_context(self._connected("submission"))
                one.recv(1000)  # the greeting, or that it is one too many

    def _connected(self, listener: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.gateway.ports[listener]), PATIENCE)

    @contextmanager
    def out_of_room(self) -> Iterator[None]:
        """Let no file of the process grow, as on a full disk, while the context lasts."""
        pid, (_, hard) = self.gateway.pid, resource.prlimit(self.gateway.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


class Load:
    """Clients of *pods*, a thread for each, until it is left."""

    def __init__(self, pods: Sequence[Pod], pause: float) -> None:
        """Wait for *pause* seconds between two sessions of each."""
        self._pause = pause
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(pod,), daemon=True) for pod in pods]

    def __enter__(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _send(self, pod: Pod) -> None:
        while not self._ended.wait(self._pause):
            pod.send(*USUAL)
            pod.send("you@there.example", login="shop", size=20_000)
            pod.go_wrong()


async def _serve_operator(setting: Setting, port: int, resources: AsyncExitStack) -> None:
    """Bring a gateway about, serve the operator's metrics on *port*, and go on reconciling until *resources* are closed."""
    queue = WorkQueue(setting.reconcile, Pace())
    setting.metrics.watch_queue(queue)
    setting.metrics.leading()
    await pages.serve(resources, port, {"/metrics": setting.metrics.exposition})
    await setting.given(gateway_resource())
    await setting.reconcile(KEY)
    await setting.pods_become_ready()
    resources.push_async_callback(_end, [asyncio.create_task(queue.run(_nothing)), asyncio.create_task(_tick(setting, queue))])


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _nothing() -> tuple[()]:
    """Return what a resync finds: nothing that is not known."""
    return ()


async def _tick(setting: Setting, queue: WorkQueue) -> None:
    """Be what watches are for the operator: news each second, and once something that only a resync told."""
    setting.metrics.missed("secrets", 1)
    while True:
        for kind in ("smtpgateways", "statefulsets", "secrets"):
            setting.metrics.answered(kind, time.time())
        queue.add(KEY)
        await asyncio.sleep(1)


@dataclass(frozen=True, slots=True)
class Observed:
    """All of it."""

    server: Server
    pods: tuple[Pod, ...]
    sink: Sink


@contextmanager
def observed(folder: Path, names: Sequence[str] = ("mail-0",), pause: float = 0.2) -> Iterator[Observed]:
    """Run gateways called *names* under load, an operator, and a Prometheus that has scraped nothing yet, in *folder* until the end."""
    with background() as loop, ExitStack() as world:
        sink = _sink(world, loop)
        down = free_port()
        pods = tuple(_pod(world, folder / name, configuration(sink.port, down)) for name in names)
        port, resources = free_port(), AsyncExitStack()
        loop.run(_serve_operator(Setting(), port, resources))
        world.callback(lambda: loop.run(resources.aclose()))
        operator = Target(f"127.0.0.1:{port}", {"namespace": "mail-system", "pod": "smtp-gateway-operator-5c9f"})
        targets = [*(pod.target for pod in pods), operator]
        server = world.enter_context(scraping(targets, CHART / "files/alerts.yaml", folder / "prometheus"))
        world.enter_context(Load(pods, pause))
        yield Observed(server, pods, sink)


def _pod(world: ExitStack, folder: Path, its: Config) -> Pod:
    """Run a gateway in *folder*, with a certificate that is renewed at once by one as long-lived as those of the operator's authority."""
    folder.mkdir(parents=True)
    pod = Pod(folder.name, world.enter_context(process(folder, its)))
    leaf = authority().issue_cert("localhost", "127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=90))
    (folder / "tls/tls.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    (folder / "tls/tls.key").write_bytes(leaf.private_key_pem.bytes())
    return pod


def _sink(world: ExitStack, loop: Background) -> Sink:
    """Run a next hop with TLS that knows one recipient less than it is asked for, and finds one domain too eager."""
    sink = Sink(tls=server_context())
    sink.answer("RCPT", "550 5.1.1 No such user", matching=NOBODY)
    sink.answer("RCPT", "451 4.7.0 Too many messages, slow down", matching=BUSY)
    loop.run(sink.start())
    world.callback(lambda: loop.run(sink.stop()))
    return sink
