"""A StatefulSet controller and pods with queues, in memory: as much of them as a fleet's life needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.cluster.api import POD, STATEFUL_SET, VOLUME_CLAIM, Object
from smtp_gateway_operator.desired import Images
from smtp_gateway_operator.metrics import Metrics
from smtp_gateway_operator.names import pod_labels, volume_claim
from smtp_gateway_operator.reconcile import Reconciler, Surroundings
from smtp_gateway_operator.steps.pods import REVISION_LABEL
from tests.unit.operator.setting import KEY, Setting, pod, ref, report, resource

if TYPE_CHECKING:
    from smtp_gateway_operator.spec import PodReport


class Controlled(Setting):
    """A setting whose StatefulSet gets pods and volumes, and whose pods have queues and heed what the configuration says."""

    def __init__(self) -> None:
        """Start with a gateway that nobody has looked at."""
        super().__init__()
        self.queues: dict[int, dict[str, Any]] = {}
        """What is in the queue of each pod that has mail, by ordinal."""
        self.silent: set[int] = set()
        """Pods that do not answer."""
        self.broken: str = ""
        """An image with which no pod becomes ready."""
        self.sizes: list[int] = []
        """Which sizes the StatefulSet had, in order."""

    @classmethod
    async def of(cls, replicas: int) -> Controlled:
        """Return a setting with a gateway of *replicas* pods that are all ready."""
        setting = cls()
        await setting.given(resource(replicas=replicas))
        await setting.settle()
        return setting

    async def settle(self) -> None:
        """Let operator, controller and pods take turns until nothing changes any more."""
        for _ in range(50):
            before = (await self.versions(), dict(self.fleet.says))
            await self.reconcile(KEY)
            await self.controlled()
            await self.heed()
            if (await self.versions(), dict(self.fleet.says)) == before:
                return
        message = "it never settles"
        raise AssertionError(message)

    async def controlled(self) -> None:
        """Do what the StatefulSet controller does, pods becoming ready at once."""
        workload = await self.get(STATEFUL_SET)
        size, partition = workload["spec"]["replicas"], workload["spec"]["updateStrategy"]["rollingUpdate"]["partition"]
        self.sizes += [size] if self.sizes[-1:] != [size] else []
        image = workload["spec"]["template"]["spec"]["containers"][0]["image"]
        current = (workload.get("status") or {}).get("currentRevision", image)
        present = {int(one["metadata"]["name"][5:]): one for one in await self.cluster.list(POD, KEY.namespace)}
        for number in [number for number in present if number >= size]:
            await self._remove(present.pop(number))
        stale = [number for number in sorted(present, reverse=True) if number >= partition and self._revision(present[number]) != image]
        if stale:
            await self._remove(present.pop(stale[0]))
        for number in set(range(size)) - set(present):
            await self._make(number, current if number < partition else image)
        await self._tell(size, image, current)

    async def _tell(self, size: int, image: str, current: str) -> None:
        """Write the StatefulSet's status."""
        pods = await self.cluster.list(POD, KEY.namespace)
        renewed = [one for one in pods if self._revision(one) == image]
        ready = [one for one in pods if one["status"]["conditions"][0]["status"] == "True"]
        complete = len(renewed) == len(ready) == size
        status = {
            "replicas": len(pods),
            "readyReplicas": len(ready),
            "updatedReplicas": len(renewed),
            "observedGeneration": (await self.get(STATEFUL_SET))["metadata"]["generation"],
            "currentRevision": image if complete else current,
            "updateRevision": image,
        }
        await self.cluster.patch_status(ref(STATEFUL_SET), status)

    async def heed(self) -> None:
        """Let pods load the configuration, and say what they say with it."""
        serving = (await self.config()).get("serving")
        self.fleet.says.clear()
        for one in await self.cluster.list(POD, KEY.namespace):
            name = one["metadata"]["name"]
            number = int(name[5:])
            drains = serving is not None and number >= serving
            if drains == (one["status"]["conditions"][0]["status"] == "True") and self._revision(one) != self.broken:
                await self.cluster.patch_status(ref(POD, name), {"conditions": [self._readiness(ready=not drains)]})
            if number not in self.silent:
                self.fleet.says[name] = await self.said(number, accepting=not drains, draining=drains)

    async def said(self, number: int, **changed: Any) -> PodReport:
        """Return what a pod says with the configuration of the moment."""
        queue = {"messages": 0, "held": 0, "oldest": None, "lateness": 0} | self.queues.get(number, {})
        return report(f"mail-{number}", **{"config_hash": await self.config_hash(), "queue": queue} | changed)

    async def _remove(self, one: Object) -> None:
        await self.cluster.delete(ref(POD, one["metadata"]["name"]), one["metadata"]["uid"])

    async def _make(self, number: int, revision: str) -> None:
        name = f"mail-{number}"
        if not await self.exists(VOLUME_CLAIM, volume_claim("mail", number)):
            metadata = {"name": volume_claim("mail", number), "namespace": KEY.namespace, "labels": pod_labels("mail")}
            template = (await self.get(STATEFUL_SET))["spec"]["volumeClaimTemplates"][0]
            status = {"phase": "Bound", "capacity": template["spec"]["resources"]["requests"]}
            await self.given({**template, "metadata": metadata, "status": status})
        made = pod(name)
        made["metadata"]["labels"] |= {REVISION_LABEL: revision}
        await self.given(made)
        ready = self._readiness(ready=revision != self.broken)
        waiting = [{"name": "gateway", "ready": False, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
        status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [ready]}
        await self.cluster.patch_status(
            ref(POD, name), status | ({"phase": "Pending", "containerStatuses": waiting} if revision == self.broken else {})
        )

    def _readiness(self, *, ready: bool) -> Object:
        return {"type": "Ready", "status": str(ready), "lastTransitionTime": self.now.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def runs(self, image: str) -> None:
        """Start the operator anew with another image for the pods."""
        self.reconcile = Reconciler(Surroundings(self.cluster, self.fleet, lambda: self.now), Images(image), Metrics())

    @staticmethod
    def _revision(one: Object) -> str:
        return str(one["metadata"]["labels"][REVISION_LABEL])

    async def size(self) -> int:
        """Return how many pods the StatefulSet wants."""
        return int((await self.get(STATEFUL_SET))["spec"]["replicas"])

    async def revisions(self) -> list[str]:
        """Return of which version each pod is, in the order of pods."""
        pods = {int(one["metadata"]["name"][5:]): self._revision(one) for one in await self.cluster.list(POD, KEY.namespace)}
        return [pods[number] for number in sorted(pods)]

    async def noted(self, number: int) -> tuple[str | None, str | None]:
        """Return what the volume of a pod says: messages, and drained."""
        annotations = (await self.get(VOLUME_CLAIM, volume_claim("mail", number)))["metadata"].get("annotations") or {}
        return annotations.get("smtpgateway.io/messages"), annotations.get("smtpgateway.io/drained")


BACKLOG = {"messages": 12, "held": 0, "oldest": 1772366400.0, "lateness": 0}
"""A queue that waits, since noon of the day on which the tests take place."""


async def scaled_in_with_mail(queue: dict[str, Any] = BACKLOG) -> Controlled:
    """Return a fleet of three that should be one, whose highest pod has mail."""
    setting = await Controlled.of(3)
    setting.queues[2] = queue
    await setting.change(replicas=1)
    await setting.settle()
    return setting
