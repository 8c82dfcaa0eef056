"""The twin of the Kubernetes API for tests: the same port, in memory.

It keeps what the operator relies on: uids, resource versions that move only on change, generations, who set which field, and the
preconditions of writes. It runs no controllers: tests write the status of workloads and pods themselves, by `patch_status`. Every
call is recorded, and can be made to fail.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.cluster.api import (
    CERTIFICATE,
    DISRUPTION_BUDGET,
    EVENT,
    GATEWAY,
    NETWORK_POLICY,
    POD,
    STATEFUL_SET,
    ClusterError,
    ConflictError,
    Kind,
    NotFoundError,
    Object,
    Ref,
    ref_of,
)
from smtp_gateway_operator.cluster.fields import fields_of, keyed, listed, merged, patched, without
from smtp_gateway_operator.names import OPERATOR

if TYPE_CHECKING:
    from collections.abc import Mapping

_WITH_STATUS = (GATEWAY, STATEFUL_SET, DISRUPTION_BUDGET, CERTIFICATE, POD)
"""Kinds whose status is a subresource: other writes do not touch it."""
_WITH_GENERATION = (GATEWAY, STATEFUL_SET, DISRUPTION_BUDGET, NETWORK_POLICY, CERTIFICATE)
_SERVER_SET = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made: its verb, as RBAC calls it, and its kind."""

    verb: str
    kind: Kind


class MemoryCluster:
    """The port `Cluster` in memory."""

    def __init__(self) -> None:
        """Start empty."""
        self.calls: list[Call] = []
        self.events: list[Object] = []
        self._objects: dict[Ref, Object] = {}
        self._unknown: set[Kind] = set()
        self._failures: deque[tuple[str, Kind | None, ClusterError]] = deque()
        self._numbers = count(1)

    def fail(self, verb: str, error: ClusterError, kind: Kind | None = None) -> None:
        """Let the next call of *verb*, on *kind* when given, raise *error*."""
        self._failures.append((verb, kind, error))

    def know(self, kind: Kind, *, known: bool) -> None:
        """Know *kind*, or not, as an API server does whose definition was installed or is missing. Every kind is known at first."""
        self._unknown.discard(kind) if known else self._unknown.add(kind)

    def refs(self) -> tuple[Ref, ...]:
        """Return every object that there is, in the order of their creation."""
        return tuple(self._objects)

    async def get(self, ref: Ref) -> Object | None:
        """See `Cluster`."""
        self._record("get", ref.kind)
        return copy.deepcopy(self._objects.get(ref))

    async def list(self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None) -> tuple[Object, ...]:
        """See `Cluster`."""
        self._record("list", kind)
        return tuple(
            copy.deepcopy(body)
            for ref, body in sorted(self._objects.items(), key=lambda item: (item[0].namespace, item[0].name))
            if ref.kind == kind and namespace in (None, ref.namespace) and _carries(body, labels or {})
        )

    async def create(self, body: Object) -> Object:
        """See `Cluster`."""
        ref = ref_of(body)
        self._record("create", ref.kind)
        if ref in self._objects:
            message = f'{ref.kind.plural} "{ref.name}" already exists'
            raise ConflictError(message)
        stored = copy.deepcopy(body)
        if ref.kind in _WITH_STATUS:
            stored.pop("status", None)
        number = next(self._numbers)
        stored["metadata"] |= {"uid": f"uid-{number}", "resourceVersion": str(number)}
        if ref.kind in _WITH_GENERATION:
            stored["metadata"]["generation"] = 1
        stored["metadata"]["managedFields"] = [_entry("Update", fields_of(keyed(_without_server_fields(body))))]
        self._objects[ref] = stored
        return copy.deepcopy(stored)

    async def apply(self, body: Object) -> Object:
        """See `Cluster`."""
        ref = ref_of(body)
        self._record("patch", ref.kind)
        live = self._objects.get(ref)
        if live is None or live["metadata"]["uid"] != body["metadata"].get("uid"):
            message = f"Precondition failed: UID in precondition: {body['metadata'].get('uid')}"
            raise ConflictError(message)
        given = keyed(_without_server_fields(body))
        entries = live["metadata"].get("managedFields", [])
        before = [entry["fieldsV1"] for entry in entries if entry["operation"] == "Apply"]
        others = tuple(entry["fieldsV1"] for entry in entries if entry["operation"] != "Apply")
        result = keyed(live)
        for fields in before:
            result = without(result, fields, (fields_of(given), *others))
        result = listed(merged(result, given))
        result["metadata"]["managedFields"] = [
            *(entry for entry in entries if entry["operation"] != "Apply"),
            _entry("Apply", fields_of(given)),
        ]
        return self._store(ref, result)

    async def patch(self, ref: Ref, body: Object) -> Object:
        """See `Cluster`."""
        self._record("patch", ref.kind)
        live = self._existing(ref)
        self._check(live, body.get("metadata", {}))
        return self._store(ref, patched(live, body))

    async def delete(self, ref: Ref, uid: str) -> None:
        """See `Cluster`."""
        self._record("delete", ref.kind)
        if ref in self._objects:
            self._check(self._objects[ref], {"uid": uid})
            del self._objects[ref]

    async def patch_status(self, ref: Ref, status: Object) -> None:
        """See `Cluster`."""
        self._record("patch/status", ref.kind)
        live = self._existing(ref)
        self._store(ref, live | {"status": patched(live.get("status"), status)})

    async def record_event(self, event: Object) -> None:
        """See `Cluster`."""
        self._record("create", EVENT)
        self.events.append(copy.deepcopy(event))

    def _record(self, verb: str, kind: Kind) -> None:
        self.calls.append(Call(verb, kind))
        if kind in self._unknown and verb != "get":
            message = "the server could not find the requested resource"
            raise NotFoundError(message)
        for failure in self._failures:
            if failure[0] == verb and failure[1] in (None, kind):
                self._failures.remove(failure)
                raise failure[2]

    def _existing(self, ref: Ref) -> Object:
        if ref not in self._objects:
            message = f'{ref.kind.plural} "{ref.name}" not found'
            raise NotFoundError(message)
        return self._objects[ref]

    def _check(self, live: Object, metadata: Object) -> None:
        for field in ("uid", "resourceVersion"):
            if field in metadata and metadata[field] != live["metadata"][field]:
                message = f"Precondition failed: {field} in precondition: {metadata[field]}, in object: {live['metadata'][field]}"
                raise ConflictError(message)

    def _store(self, ref: Ref, body: Object) -> Object:
        """Replace the object if it differs, as the API server does: a write without a change is none."""
        live = self._objects[ref]
        changed = copy.deepcopy(body)
        if changed != live:
            changed["metadata"]["resourceVersion"] = str(next(self._numbers))
            if ref.kind in _WITH_GENERATION and changed.get("spec") != live.get("spec"):
                changed["metadata"]["generation"] += 1
            self._objects[ref] = changed
        return copy.deepcopy(self._objects[ref])


def _carries(body: Object, labels: Mapping[str, str]) -> bool:
    return all(body["metadata"].get("labels", {}).get(label) == value for label, value in labels.items())


def _without_server_fields(body: Object) -> Object:
    """Return what the writer of *body* sets himself."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in _SERVER_SET}
    return {**body, "metadata": metadata}


def _entry(operation: str, fields: dict[str, Any]) -> Object:
    return {"manager": OPERATOR, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields}
