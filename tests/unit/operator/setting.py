"""A gateway, its Secrets and its cluster in memory, for the operator's tests."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from smtp_gateway_operator.cluster.api import GATEWAY, POD, STATEFUL_SET, Cluster, Kind, Object, Ref
from smtp_gateway_operator.cluster.memory import MemoryCluster
from smtp_gateway_operator.desired import Images
from smtp_gateway_operator.metrics import Metrics
from smtp_gateway_operator.names import Key, Owner, pod_labels
from smtp_gateway_operator.reconcile import Reconciler
from smtp_gateway_operator.spec import SmtpGateway

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


def ref(kind: Kind, name: str = "mail") -> Ref:
    """Return an object of the gateway's namespace."""
    return Ref(kind, KEY.namespace, name)


class Setting:
    """A cluster in memory, a clock, and a reconciler on both."""

    def __init__(self) -> None:
        """Start with an empty cluster."""
        self.cluster = MemoryCluster()
        self.metrics = Metrics()
        self.now = NOW
        self.reconcile = Reconciler(self.cluster, IMAGES, self.metrics, lambda: self.now)

    def reconciler(self, cluster: Cluster) -> Reconciler:
        """Return a reconciler that sees the cluster through another, such as a cache."""
        return Reconciler(cluster, IMAGES, self.metrics, lambda: self.now)

    def restarted(self) -> Reconciler:
        """Return the reconciler of a fresh process, which remembers nothing."""
        return Reconciler(self.cluster, IMAGES, Metrics(), lambda: self.now)

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
        """Say what the StatefulSet controller says when every pod runs the current version and is ready."""
        workload = await self.get(STATEFUL_SET)
        wanted = workload["spec"]["replicas"]
        counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas"), wanted)
        generation = workload["metadata"]["generation"]
        await self.cluster.patch_status(ref(STATEFUL_SET), counts | {"observedGeneration": generation})

    async def versions(self) -> dict[str, str]:
        """Return the resource version of every child."""
        kinds = {ref.kind for ref in self.cluster.refs()} - {GATEWAY, POD}
        found = [one for kind in kinds for one in await self.cluster.list(kind, KEY.namespace)]
        return {f"{one['kind']} {one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found}

    def reasons(self) -> list[tuple[str, str]]:
        """Return type and reason of every Event so far."""
        return [(event["type"], event["reason"]) for event in self.cluster.events]
