"""The next step of a fleet, from what is there to what is wanted: how large the StatefulSet is now, who serves, and who may be renewed.

Decided by `steps`, of which this gathers the facts. Before a step is taken, the volumes say what they must before it is (`noting`). A fleet
shrinks only upon what its pods said just before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from smtp_gateway_operator import names
from smtp_gateway_operator.cluster.api import POD
from smtp_gateway_operator.growing import Growing
from smtp_gateway_operator.noting import Noting
from smtp_gateway_operator.spec import config_hash
from smtp_gateway_operator.steps.pods import orphaned, pods_by_ordinal
from smtp_gateway_operator.steps.rollouts import partition_of, versions_of
from smtp_gateway_operator.steps.scaling import Step, delivering_of, serving_of, size_of
from smtp_gateway_operator.steps.volumes import Counted, asleep, counted, let_go, unused

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from smtp_gateway_operator.cluster.api import Cluster, Object
    from smtp_gateway_operator.cluster.children import Live
    from smtp_gateway_operator.names import Key, Owner
    from smtp_gateway_operator.spec import Config
    from smtp_gateway_operator.status.told import Told


@dataclass(slots=True)
class There:
    """What there is of a gateway."""

    owner: Owner
    live: Live
    workload: Object | None
    """The StatefulSet, also one that lost its labels: a fleet that is not seen must not be taken for none."""
    pods: tuple[Object, ...]
    told: Told | None
    """What the pods said just before; None when they were not asked."""
    claims: dict[int, Object] = field(default_factory=dict)
    """The pods' volume claims by ordinal; empty before `Stepping.configured`."""
    refused: dict[int, str] = field(default_factory=dict)
    """Why the API server does not let volumes become as large as wanted, by ordinal."""

    @property
    def size(self) -> int:
        """How many pods the StatefulSet wants now; without one, how many it left for its successor, which is to be no smaller for that."""
        if self.workload is None:
            return orphaned(self.owner.name, self.pods)
        return int(self.workload["spec"].get("replicas", 1))

    @property
    def asleep(self) -> str:
        """How much mail is on volumes without a pod, in a sentence; empty when there is none."""
        return asleep(self.claims, self.size).sentence

    def size_upon(self, heard: Counted, wanted: int) -> int:
        """Return how large the fleet may be on its way to *wanted* pods, given what was *heard* of its pods just before."""
        going = range(wanted, self.size)
        return size_of(wanted, self.size, unused(self.claims, going).union(let_go(self.claims, going), heard.empty))


class Stepping:
    """The steps of every gateway's fleet."""

    def __init__(self, cluster: Cluster, now: Callable[[], datetime]) -> None:
        """Look at *cluster*; *now* tells the time, aware."""
        self._cluster = cluster
        self._now = now
        self._noting = Noting(cluster, now)
        self._growing = Growing(cluster, now)

    async def there(self, owner: Owner, live: Live, workload: Object | None, told: Told | None) -> There:
        """Return what there is of a gateway beside its *live* children."""
        pods = await self._cluster.list(POD, owner.namespace, names.children_selector(owner.name))
        return There(owner, live, workload, pods, told)

    async def claims(self, owner: Owner) -> dict[int, Object]:
        """Return the volume claims of a gateway's pods by ordinal, also for a gateway of which nothing may be changed now."""
        return await self._noting.claims(owner)

    async def configured(self, config: Config, wanted: int, there: There) -> Config:
        """Return *config* with the word who serves and delivers in a fleet that should be *wanted* pods, and find the volume claims.

        Where nothing is divided among those who deliver, their number is not said, so that it is no change of the configuration.
        """
        there.claims = await self.claims(there.owner)
        fleet = (wanted, there.size, pods_by_ordinal(there.owner.name, there.pods))
        pods = delivering_of(*fleet) if any(route.pacing for route in config.routes) else 1
        return config.model_copy(update={"serving": serving_of(*fleet), "pods": pods})

    async def step(self, config: Config, wanted: int, there: There) -> Step:
        """Return the next step towards *wanted* pods, once the volumes say what they must before it is taken."""
        heard = counted(there.owner.name, there.told.fresh, config_hash(config)) if there.told else Counted({})
        size = there.size_upon(heard, wanted) if there.told else max(wanted, there.size)
        await self._noting.serving(there.owner, there.claims, wanted)
        await self._noting.before_step(there.owner, there.claims, (there.size, size), heard)
        versions = versions_of(there.workload) if there.workload else None
        partition = partition_of(size, versions, pods_by_ordinal(there.owner.name, there.pods), self._now())
        return Step(size, partition, draining=size - wanted if wanted else 0)

    async def grown(self, there: There, wanted: str) -> None:
        """Let the fleet's volumes become as large as *wanted*, and take note of those that may not."""
        there.refused = await self._growing.grow(there.owner, there.claims, there.size, wanted)

    async def heard(self, there: There, told: Told, wanted: int | None) -> bool:
        """Take note of what the pods *told*; tell whether it is time to step down towards *wanted* pods.

        *wanted* is None when no step may be taken.
        """
        heard = counted(there.owner.name, told.fresh, told.config_hash)
        if wanted is not None and there.size_upon(heard, wanted) < there.size:
            return True
        await self._noting.after_look(there.owner, there.claims, there.size, heard)
        return False

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a gateway that is gone."""
        self._noting.forget(key)
        self._growing.forget(key)
