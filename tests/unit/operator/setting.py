"""A gateway, its Secrets and its cluster in memory, for the operator's tests."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from smtp_gateway_operator.cluster.api import GATEWAY, POD, SECRET, STATEFUL_SET, Cluster, Kind, Object, Ref
from smtp_gateway_operator.cluster.memory import MemoryCluster
from smtp_gateway_operator.desired import Images
from smtp_gateway_operator.fleet.memory import MemoryFleet
from smtp_gateway_operator.metrics import Metrics
from smtp_gateway_operator.names import REFRESH_ANNOTATION, Key, Owner, pod_labels
from smtp_gateway_operator.reconcile import Reconciler, Surroundings
from smtp_gateway_operator.spec import PodReport, SmtpGateway
from smtp_gateway_operator.workqueue import Occasion, PutOffError

KEY = Key("apps", "mail")
OWNER = Owner("apps", "mail", "uid-1")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
IMAGES = Images("example.com/smtp-gateway:1")
LOGINS = [{"secretRef": {"name": "app"}}]


def resource(name: str = "mail", **spec: Any) -> Object:
    """Return an `SmtpGateway` as a user writes it."""
    return {
        "apiVersion": GATEWAY.api_version,
        "kind": GATEWAY.name,
        "metadata": {"name": name, "namespace": KEY.namespace},
        "spec": {"hostname": "mail.example.com"} | spec,
    }


def gateway(**spec: Any) -> SmtpGateway:
    """Return the resource as the operator reads it."""
    body = resource(**spec)
    return SmtpGateway.model_validate(body | {"metadata": body["metadata"] | {"uid": OWNER.uid, "generation": 1}})


def secret(name: str, *, kind: str = "Opaque", **data: str) -> Object:
    """Return a Secret of a user."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": KEY.namespace}, "type": kind, "data": encoded}


def pod(name: str, **status: Any) -> Object:
    """Return a pod of the gateway with *status*."""
    metadata = {"name": name, "namespace": KEY.namespace, "labels": pod_labels(KEY.name)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status}


def report(name: str, **changed: Any) -> PodReport:
    """Return what a pod of the gateway says when all is well with it, but for what *changed* says."""
    well = {
        "pod": name,
        "version": "1",
        "config_hash": "",
        "accepting": True,
        "draining": False,
        "queue": {"messages": 0, "held": 0, "oldest": None, "lateness": 0},
        "certificate": {"not_after": (NOW + timedelta(days=90)).timestamp()},
    }
    return PodReport.model_validate(well | changed)


def upstream(host: str = "smtp.example.net", cause: str = "", at: float = 1.0, **changed: Any) -> dict[str, Any]:
    """Return a probe of a smarthost of the default route, good unless there is a *cause*."""
    reply = f"550 {cause}" if cause else ""
    probe = {"route": "default", "host": host, "port": 25, "reachable": not cause, "cause": cause, "reply": reply, "checked_at": at}
    return probe | changed


def ref(kind: Kind, name: str = "mail") -> Ref:
    """Return an object of the gateway's namespace."""
    return Ref(kind, KEY.namespace, name)


class Setting:
    """A cluster in memory, a clock, and a reconciler on both."""

    def __init__(self, cluster: MemoryCluster | None = None) -> None:
        """Start with an empty *cluster*, by default one in which everything is allowed."""
        self.cluster = cluster or MemoryCluster()
        self.metrics = Metrics()
        self.now = NOW
        self.fleet = MemoryFleet()
        self.reconcile = self._reconciler(self.metrics)

    def _reconciler(self, metrics: Metrics) -> Reconciler:
        return Reconciler(Surroundings(self.cluster, self.fleet, lambda: self.now), IMAGES, metrics)

    def reconciler(self, cluster: Cluster) -> Reconciler:
        """Return a reconciler that sees the cluster through another, such as a cache."""
        return Reconciler(Surroundings(cluster, self.fleet, lambda: self.now), IMAGES, self.metrics)

    def restarted(self) -> Reconciler:
        """Return the reconciler of a fresh process, which remembers nothing."""
        return self._reconciler(Metrics())

    async def put_off(self) -> bool:
        """Reconcile, and tell whether that has to be tried again."""
        try:
            await self.reconcile(KEY)
        except PutOffError:
            return True
        return False

    async def look(self) -> float | None:
        """Ask the pods, as is done when nothing happened."""
        return await self.reconcile(KEY, Occasion.LOOK)

    def later(self, **duration: float) -> None:
        """Let time pass."""
        self.now += timedelta(**duration)

    async def given(self, *objects: Object) -> None:
        """Create objects, as a user does."""
        for one in objects:
            await self.cluster.create(one)

    async def get(self, kind: Kind, name: str = "mail") -> Object:
        """Return an object that must be there."""
        found = await self.cluster.get(ref(kind, name))
        assert found is not None, f"there is no {kind.name} {name}"
        return found

    async def exists(self, kind: Kind, name: str) -> bool:
        """Tell whether there is such an object."""
        return await self.cluster.get(ref(kind, name)) is not None

    async def change(self, **spec: Any) -> None:
        """Change fields of the gateway's spec, as a user does."""
        await self.cluster.patch(ref(GATEWAY), {"spec": spec})

    async def status(self) -> Object:
        """Return the gateway's status."""
        status: Object = (await self.get(GATEWAY)).get("status") or {}
        return status

    async def condition(self, name: str) -> tuple[str, str, str]:
        """Return status, reason and message of one condition."""
        conditions = {condition["type"]: condition for condition in (await self.status())["conditions"]}
        return conditions[name]["status"], conditions[name]["reason"], conditions[name]["message"]

    async def pods_become_ready(self) -> None:
        """Say what the StatefulSet controller and the pods say when every pod runs the current version and configuration and is ready."""
        workload = await self.get(STATEFUL_SET)
        wanted = workload["spec"]["replicas"]
        counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas"), wanted)
        generation = workload["metadata"]["generation"]
        await self.cluster.patch_status(ref(STATEFUL_SET), counts | {"observedGeneration": generation})
        for number in range(wanted):
            await self._pod_runs(f"mail-{number}")
            await self.says(f"mail-{number}")

    async def _pod_runs(self, name: str) -> None:
        if not await self.exists(POD, name):
            await self.given(pod(name))
        status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        await self.cluster.patch_status(ref(POD, name), status)

    async def says(self, name: str, **changed: Any) -> None:
        """Let a pod report that all is well, with the configuration of the moment, but for what *changed* says."""
        self.fleet.says[name] = report(name, **{"config_hash": await self.config_hash()} | changed)

    async def config_hash(self) -> str:
        """Return the hash of the configuration that pods find in their volume."""
        return hashlib.sha256(await self._config()).hexdigest()

    async def config(self) -> Object:
        """Return that configuration."""
        return dict(json.loads(await self._config()))

    async def _config(self) -> bytes:
        data = (await self.get(SECRET, "mail-config-0"))["data"]
        return gzip.decompress(base64.b64decode(data["config.0.part"]))

    async def annotation(self, name: str) -> str | None:
        """Return the value by which a pod was nudged last."""
        found: str | None = ((await self.get(POD, name))["metadata"].get("annotations") or {}).get(REFRESH_ANNOTATION)
        return found

    async def versions(self) -> dict[str, str]:
        """Return the resource version of every child."""
        kinds = {ref.kind for ref in self.cluster.refs()} - {GATEWAY, POD}
        found = [one for kind in kinds for one in await self.cluster.list(kind, KEY.namespace)]
        return {f"{one['kind']} {one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found}

    def reasons(self) -> list[tuple[str, str]]:
        """Return type and reason of every Event so far."""
        return [(event["type"], event["reason"]) for event in self.cluster.events]
