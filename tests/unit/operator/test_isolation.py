"""One gateway's trouble is nobody else's: a work queue with a gateway that always fails and fifty that do not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from smtp_gateway_operator.cluster.api import STATEFUL_SET, ClusterError, ForbiddenError, Object, Ref, RejectedError, UnavailableError
from smtp_gateway_operator.cluster.memory import MemoryCluster
from smtp_gateway_operator.desired import Images
from smtp_gateway_operator.fleet.memory import MemoryFleet
from smtp_gateway_operator.metrics import Metrics
from smtp_gateway_operator.names import Key
from smtp_gateway_operator.reconcile import Reconciler, Surroundings
from smtp_gateway_operator.workqueue import Pace, WorkQueue
from tests.support.waiting import eventually
from tests.unit.operator.setting import KEY, NOW, resource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

GOOD = [Key(KEY.namespace, f"good-{number}") for number in range(50)]
POISON = Key(KEY.namespace, "poison")


class PoisonedCluster(MemoryCluster):
    """A cluster on which everything that is created for one gateway fails in one way."""

    def __init__(self, fail: Callable[[], Awaitable[None]]) -> None:
        """Let *fail* be what happens."""
        super().__init__()
        self.fail_so = fail
        self.attempts = 0

    async def create(self, body: Object) -> Object:
        """See `Cluster`."""
        if body["metadata"]["name"].startswith(POISON.name) and "ownerReferences" in body["metadata"]:
            self.attempts += 1
            await self.fail_so()
        return await super().create(body)


def raising(error: Exception) -> Callable[[], Awaitable[None]]:
    """Return what raises *error*."""

    async def fail() -> None:
        raise error

    return fail


async def hang() -> None:
    """Never end."""
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "fail",
    [
        raising(UnavailableError("admission webhook timed out")),
        raising(RejectedError("no")),
        raising(ForbiddenError("exceeded quota")),
        raising(ClusterError("never seen before")),
        raising(KeyError("a bug of ours")),
        hang,
    ],
    ids=["unavailable", "rejected", "forbidden", "unknown", "bug", "hang"],
)
async def test_a_gateway_that_always_fails_delays_no_other(fail: Callable[[], Awaitable[None]]) -> None:
    """All fifty are brought about while the one fails again and again, or hangs."""
    cluster = PoisonedCluster(fail)
    for key in (POISON, *GOOD):
        await cluster.create(resource(key.name))
    reconciler = Reconciler(Surroundings(cluster, MemoryFleet(), lambda: NOW), Images("example.com/smtp-gateway:1"), Metrics())
    queue = WorkQueue(reconciler, Pace(first_wait=0.001))
    for key in (POISON, *GOOD):
        queue.add(key)

    async def keys() -> list[Key]:
        return [POISON, *GOOD]

    running = asyncio.create_task(queue.run(keys))
    try:
        made = [Ref(STATEFUL_SET, key.namespace, key.name) for key in GOOD]
        await eventually(lambda: set(made) <= set(cluster.refs()), within=20, what="every other gateway is brought about")
        await eventually(lambda: cluster.attempts > (0 if fail is hang else 3), what="the one was tried again")
    finally:
        running.cancel()
        await asyncio.wait([running])
