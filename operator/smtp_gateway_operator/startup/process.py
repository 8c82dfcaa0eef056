"""What runs in the operator's process: start, work, stop, always in the same order; resources are opened together and closed together.

What can go wrong: as long as the API server or the resource's definition is missing, the start waits and says so. A worker that
hangs, or a queue that died, fails the liveness probe.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from smtp_gateway_operator.cluster.api import GATEWAY, Cluster, ClusterError, Kind
from smtp_gateway_operator.cluster.kube import KubeCluster
from smtp_gateway_operator.fleet.tls import TlsFleet
from smtp_gateway_operator.metrics import CONTENT_TYPE, Metrics
from smtp_gateway_operator.names import Key
from smtp_gateway_operator.reconcile import Reconciler, Surroundings
from smtp_gateway_operator.startup.connection import connect
from smtp_gateway_operator.workqueue import Pace, WorkQueue

if TYPE_CHECKING:
    from smtp_gateway_operator.desired import Images

FINISH = 10.0
"""Seconds to finish reconciles when the process stops; each is safe to break off, and most take a tenth of one."""
AGAIN = 2.0
"""Seconds before the start asks once more for an API server or definition that is not there yet."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    namespaces: tuple[str, ...]
    """The namespaces to watch; empty for all of them."""
    images: Images
    http_port: int = 8080
    probe_port: int = 8081


class Process:
    """The running operator."""

    def __init__(self, options: Options) -> None:
        """Prepare; nothing is opened before `start`."""
        self._options = options
        self._metrics = Metrics()
        self._resources = AsyncExitStack()
        self._queue: WorkQueue | None = None
        self._running: asyncio.Task[None] | None = None
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Connect, serve the metrics, and begin to work. Waits for an API server that knows the resource."""
        client = await connect()
        self._resources.push_async_callback(client.close)
        cluster = KubeCluster(client)
        await self._serve_metrics()
        keys = await self._first_keys(cluster)
        fleet = await self._resources.enter_async_context(TlsFleet())
        reconciler = Reconciler(Surroundings(cluster, fleet, lambda: datetime.now(UTC)), self._options.images, self._metrics)
        self._queue = WorkQueue(reconciler, Pace())
        self._metrics.watch_queue(self._queue)
        for key in keys:
            self._queue.add(key)
        self._running = asyncio.create_task(self._queue.run(lambda: self._keys(cluster)))
        self._log.info("started", namespaces=self._options.namespaces or "all", gateways=len(keys))

    async def stop(self) -> None:
        """Finish what is being worked on, for a bounded time, and close everything."""
        if self._queue is not None and self._running is not None:
            self._queue.stop()
            await asyncio.wait([self._running], timeout=FINISH)
            self._running.cancel()
        await self._resources.aclose()
        self._log.info("stopped")

    def health(self) -> str:
        """Return a word for the probe. Raises `RuntimeError` when the queue hangs or is gone."""
        if self._queue is None or self._running is None or self._running.done():
            message = "the work queue does not run"
            raise RuntimeError(message)
        if key := self._queue.stuck():
            message = f"a worker hangs in {key}"
            raise RuntimeError(message)
        return "working"

    def heard(self, kind: Kind, key: Key) -> None:
        """Take note that a watch told something about a gateway."""
        self._metrics.heard(kind.plural, time.time())
        if self._queue is not None and key.name:
            self._queue.add(key)

    async def _keys(self, cluster: Cluster) -> list[Key]:
        """Return every gateway that there is now, from the API server and not from a watch."""
        found = [await cluster.list(GATEWAY, namespace) for namespace in self._options.namespaces or (None,)]
        return [Key(body["metadata"]["namespace"], body["metadata"]["name"]) for page in found for body in page]

    async def _first_keys(self, cluster: Cluster) -> list[Key]:
        """Return every gateway, waiting until the API server can tell: kopf would not notice a definition that comes later."""
        told = ""
        while True:
            try:
                return await self._keys(cluster)
            except ClusterError as error:
                if told != str(error):
                    self._log.warning("waiting for the API server to know the resource", error=f"{type(error).__name__}: {error}")
                told = str(error)
                await asyncio.sleep(AGAIN)

    async def _serve_metrics(self) -> None:
        application = web.Application()
        application.router.add_get("/metrics", self._exposition)
        runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await runner.setup()
        self._resources.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, port=self._options.http_port).start()

    async def _exposition(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})
