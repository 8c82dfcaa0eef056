"""What runs in the operator's process: start, work, stop, always in the same order; resources are opened together and closed together.

What can go wrong: as long as the API server or the resource's definition is missing, or another operator holds the Lease, the start waits
and says so. A Lease that is lost ends the process at once. A worker that hangs, a queue that died, or a watch that has gone silent
fails the liveness probe.

Of several namespaces, one that is gone, or closed to this process, is left out of what one life of it serves: kopf would end over it, and
the others wait. When one goes, its Lease is lost, and the next life begins without it; when one is back, this life ends for one with it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from smtp_gateway_operator.cluster import api
from smtp_gateway_operator.cluster.api import LEASE, ClusterError, Kind, News, Ref
from smtp_gateway_operator.cluster.cache import CachedCluster
from smtp_gateway_operator.cluster.followed import Followed
from smtp_gateway_operator.cluster.kube import KubeCluster
from smtp_gateway_operator.fleet.tls import TlsFleet
from smtp_gateway_operator.metrics import Metrics, Words
from smtp_gateway_operator.names import OPERATOR, Key
from smtp_gateway_operator.reconcile import Reconciler, Surroundings
from smtp_gateway_operator.startup import pages
from smtp_gateway_operator.startup.connection import connect
from smtp_gateway_operator.startup.contact import Contact
from smtp_gateway_operator.startup.lease import Clock, Lease, Terms
from smtp_gateway_operator.workqueue import Pace, PutOffError, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    import kopf

    from smtp_gateway_operator.desired import Images

FINISH = 10.0
"""Seconds to finish reconciles when the process stops; each is safe to break off, and most take a tenth of one."""
TERMS = Terms()
AGAIN = 2.0
"""Seconds before the start asks once more for an API server or definition that is not there yet."""
CLUSTER_WIDE = "default"
"""Where an operator of all namespaces has its Lease: a namespace that every cluster has, so that two of them meet there."""
WORDS = Words(
    resources=tuple(kind.plural for kind in (api.GATEWAY, *api.WATCHED_KINDS)),
    errors=tuple(
        error.__name__
        for error in (
            api.UnavailableError,
            api.ExpiredError,
            api.ConflictError,
            api.NotFoundError,
            api.ForbiddenError,
            api.RejectedError,
            api.ImmutableError,
            PutOffError,
            asyncio.CancelledError,
        )
    ),
)
"""What labels of the metrics say: everything that is watched, and all that reconciles are given up for but faults of this program."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    namespaces: tuple[str, ...]
    """The namespaces to watch; empty for all of them."""
    images: Images
    http_port: int = 8080
    probe_port: int = 8081
    identity: str = OPERATOR
    """Who this process is, among all operators of the cluster: what its Leases say."""


class Process:
    """The running operator."""

    def __init__(self, options: Options, give_up: Callable[[], object] = lambda: None) -> None:
        """Prepare; nothing is opened before `start`. *give_up* is called when the process has to end, and when it is about to."""
        self._options = options
        self.served = list(options.namespaces)
        """The namespaces to watch, those left out that have no Lease to be had, once `start` is done; empty for all of them."""
        self._give_up = give_up
        self._metrics = Metrics(WORDS)
        self._contact = Contact(time.monotonic, lambda resource: self._metrics.answered(resource, time.time()))
        self._resources = AsyncExitStack()
        self._leases: list[Lease] = []
        self._cache: CachedCluster | None = None
        self._queue: WorkQueue | None = None
        self._running: asyncio.Task[None] | None = None
        self._holding: list[asyncio.Task[None]] = []
        self._log = structlog.get_logger()
        self.lost = False
        """Whether the process ends because another operator has taken over, or may have."""

    async def start(self) -> None:
        """Serve probes and metrics, wait until no other operator is at work, and begin. Waits for an API server that knows the resource."""
        try:
            await self._begin()
        except BaseException:
            await self.stop()  # kopf calls it only after a start that came to its end
            raise

    async def _begin(self) -> None:
        await pages.serve(self._resources, self._options.http_port, {"/metrics": self._metrics.page})
        await pages.serve(self._resources, self._options.probe_port, {"/healthz": self.health, "/readyz": self.ready})
        cluster = await self._connected(100)
        await self._take_leases(cluster)
        self._cache = CachedCluster(cluster, await self._follower(), self.served, time.monotonic)
        keys = await self._first_keys(self._cache)
        fleet = await self._resources.enter_async_context(TlsFleet())
        reconciler = Reconciler(Surroundings(self._cache, fleet, _now), self._options.images, self._metrics)
        self._queue = WorkQueue(reconciler, Pace())
        self._metrics.watch_queue(self._queue)
        for key in keys:
            self._queue.add(key)
        cache = self._cache
        self._running = asyncio.create_task(self._queue.run(lambda: self._keys(cache)))
        self._log.info("started", namespaces=self.served or "all", gateways=len(keys))

    async def stop(self) -> None:
        """Finish what is being worked on, for a bounded time, and close everything; let go of the Leases last."""
        if self._queue is not None and self._running is not None:
            self._queue.stop()
            await asyncio.wait([self._running], timeout=0 if self.lost else FINISH)
            self._running.cancel()
        for task in self._holding:
            task.cancel()
        for lease in self._leases:
            await lease.release()
        await self._resources.aclose()
        # kopf still waits for this flag after a signal, and five seconds for whatever still waits before it ends.
        self._give_up()
        self._log.info("stopped")

    def health(self) -> str:
        """Return a word for the liveness probe. Raises `RuntimeError` when the process should be restarted."""
        if self._queue is None or self._running is None:
            return "starting"
        message = ""
        if self._running.done():
            message = "the work queue does not run"
        elif key := self._queue.stuck():
            message = f"a worker hangs in {key}"
        elif path := self._contact.silent():
            message = f"the watch of {path} is dead"
        elif self._cache is not None and (ref := self._cache.stale()):
            message = f"the watch of {ref.kind.plural} did not tell of {ref.name} in {ref.namespace}"
        if message:
            raise RuntimeError(message)
        return "working"

    def ready(self) -> str:
        """Return a word for the readiness probe. Raises `RuntimeError` while this process only waits, and says for what."""
        if self._queue is None:
            holder = self.waits_for()
            message = f"{holder} holds the Lease" if holder else "the API server is not there yet, or does not know the resource"
            raise RuntimeError(message)
        return "working"

    def waits_for(self) -> str:
        """Return who holds a Lease that this process waits for; empty when nobody is known to."""
        return next((lease.holder for lease in self._leases if lease.holder not in ("", self._options.identity)), "")

    async def login(self, settings: kopf.OperatorSettings) -> kopf.AiohttpSession | None:
        """Return kopf's session with the API server."""
        return await self._contact.login(settings)

    def heard(self, kind: Kind, key: Key, news: News) -> None:
        """Take note that a watch told something about a gateway."""
        self._metrics.heard(kind.plural, time.time())
        if self._cache is not None:
            self._cache.heard(kind, news)
        if self._queue is not None and key.name:
            self._queue.add(key)

    async def _connected(self, connections: int) -> KubeCluster:
        client = await connect(connections)
        self._resources.push_async_callback(client.close)
        return KubeCluster(client)

    async def _follower(self) -> Followed:
        """Return what follows Secrets, with connections of its own: watches occupy them, and reconciles must not wait for one."""
        followed = Followed(await self._connected(0), self._noticed, time.monotonic)
        self._resources.push_async_callback(followed.close)
        return followed

    def _noticed(self, key: Key) -> None:
        if self._queue is not None:
            self._queue.add(key)

    async def _take_leases(self, cluster: KubeCluster) -> None:
        """Wait for a Lease in each namespace served, always in the same order, so that two operators cannot wait for each other.

        Namespaces without a Lease to be had are left out; when all are, the wait goes on.
        """
        clock = Clock(time.monotonic, _now, TERMS)
        for namespace in sorted(self._options.namespaces or (CLUSTER_WIDE,)):
            self._leases.append(Lease(cluster, Ref(LEASE, namespace, OPERATOR), self._options.identity, clock))
        while not self._holding:
            left_out = [lease for lease in self._leases if not await self._take(lease)]
        for lease in left_out:
            self._leave_out(lease)
        self._metrics.leading()

    async def _take(self, lease: Lease) -> bool:
        taken = await lease.acquire()
        if taken:
            self._holding.append(asyncio.create_task(self._hold(lease)))
        return taken

    def _leave_out(self, lease: Lease) -> None:
        self._log.warning("a namespace is left out: it is gone, or closed to this operator", namespace=lease.ref.namespace)
        self.served.remove(lease.ref.namespace)
        self._holding.append(asyncio.create_task(self._look_out_for(lease)))

    async def _look_out_for(self, lease: Lease) -> None:
        """End the process, which is started again then, when a namespace that was left out can be served."""
        back = False
        while not back:
            await asyncio.sleep(TERMS.renew)
            back = await lease.acquire()
        self._log.warning("a namespace is back: this operator ends, and serves it when it is started again", namespace=lease.ref.namespace)
        self._give_up()

    async def _hold(self, lease: Lease) -> None:
        await lease.hold()
        self.lost = True
        if self._running is not None:
            self._running.cancel()
        self._give_up()

    async def _keys(self, cache: CachedCluster) -> list[Key]:
        """Return every gateway that there is now, and note what no watch had told."""
        for resource, number in await cache.refresh():
            self._metrics.missed(resource, number)
        return cache.gateways()

    async def _first_keys(self, cache: CachedCluster) -> list[Key]:
        """Return every gateway, waiting until the API server can tell: kopf would not notice a definition that comes later."""
        told = ""
        while True:
            try:
                await cache.refresh()
                return cache.gateways()
            except ClusterError as error:
                if told != str(error):
                    self._log.warning("waiting for the API server to know the resource", error=f"{type(error).__name__}: {error}")
                told = str(error)
                await asyncio.sleep(AGAIN)


def _now() -> datetime:
    return datetime.now(UTC)
