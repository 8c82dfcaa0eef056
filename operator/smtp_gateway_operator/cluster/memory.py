"""The twin of the Kubernetes API for tests: the same port, in memory.

It keeps what the operator relies on: uids, resource versions that move only on change, generations, who set which field, the
preconditions of writes, and watches. It runs no controllers: tests write the status of workloads and pods themselves, by
`patch_status`. Every call is recorded, and can be made to fail.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.cluster.api import (
    BACKGROUND,
    CERTIFICATE,
    DISRUPTION_BUDGET,
    EVENT,
    GATEWAY,
    NETWORK_POLICY,
    ORPHAN,
    POD,
    POD_MONITOR,
    SECRET,
    STATEFUL_SET,
    VOLUME_CLAIM,
    ClusterError,
    ConflictError,
    ImmutableError,
    Kind,
    NamespaceTerminatingError,
    News,
    NotFoundError,
    Object,
    Ref,
    Snapshot,
    ref_of,
    version_of,
)
from smtp_gateway_operator.cluster.fields import fields_of, keyed, listed, merged, patched, without
from smtp_gateway_operator.cluster.resizing import check_resize
from smtp_gateway_operator.names import OPERATOR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from smtp_gateway_operator.names import Key

_WITH_STATUS = (GATEWAY, STATEFUL_SET, DISRUPTION_BUDGET, CERTIFICATE, POD)
"""Kinds whose status is a subresource: other writes do not touch it."""
_WITH_GENERATION = (GATEWAY, STATEFUL_SET, DISRUPTION_BUDGET, NETWORK_POLICY, CERTIFICATE, POD_MONITOR)
_IMMUTABLE = {
    STATEFUL_SET: (("spec", "serviceName"), ("spec", "podManagementPolicy"), ("spec", "selector"), ("spec", "volumeClaimTemplates")),
    SECRET: (("type",),),
}
"""Fields that cannot be changed, as far as the operator sets them."""
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
        self._version = 0
        self.listeners: list[Callable[[News], object]] = []
        """Called with every change, in their order, as kopf's watches would tell them."""
        self.watched: list[Ref] = []
        """The objects that are followed by a watch right now."""
        self.referred: dict[Key, set[Ref]] = {}
        self.terminating: set[str] = set()
        """Namespaces that are being deleted: what is there can be changed and goes, and nothing can be made."""
        self.expandable: set[str | None] = set()
        """The StorageClasses whose volumes can grow; None for the default class."""
        self.orphaned: list[Ref] = []
        """What was deleted without its dependants."""

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
        return (await self.snapshot(kind, namespace, labels)).objects

    async def snapshot(self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None) -> Snapshot:
        """See `Cluster`."""
        self._record("list", kind)
        found = tuple(
            copy.deepcopy(body)
            for ref, body in sorted(self._objects.items(), key=lambda item: (item[0].namespace, item[0].name))
            if ref.kind == kind and namespace in (None, ref.namespace) and _carries(body, labels or {})
        )
        return Snapshot(str(self._version), found)

    async def snapshot_of(self, ref: Ref) -> Snapshot:
        """See `Watching`."""
        self._record("list", ref.kind)
        return Snapshot(str(self._version), tuple(copy.deepcopy(body) for one, body in self._objects.items() if one == ref))

    async def watch(self, ref: Ref, version: str) -> AsyncIterator[News | str]:
        """See `Watching`. What was deleted before it began is not told."""
        self._record("watch", ref.kind)
        told: asyncio.Queue[News] = asyncio.Queue()
        self.listeners.append(told.put_nowait)
        self.watched.append(ref)
        present = self._objects.get(ref)
        if present is not None and version_of(present) > int(version):
            told.put_nowait(News(copy.deepcopy(present)))
        try:
            while True:
                news = await told.get()
                if ref_of(news.body) == ref:
                    yield news
        finally:
            self.watched.remove(ref)
            self.listeners.remove(told.put_nowait)

    async def create(self, body: Object) -> Object:
        """See `Cluster`."""
        ref = ref_of(body)
        self._record("create", ref.kind)
        if ref.namespace in self.terminating:
            message = f"unable to create new content in namespace {ref.namespace} because it is being terminated"
            raise NamespaceTerminatingError(message)
        if ref in self._objects:
            message = f'{ref.kind.plural} "{ref.name}" already exists'
            raise ConflictError(message)
        stored = copy.deepcopy(body)
        if ref.kind in _WITH_STATUS:
            stored.pop("status", None)
        number = self._next()
        stored["metadata"] |= {"uid": f"uid-{number}", "resourceVersion": number}
        if ref.kind in _WITH_GENERATION:
            stored["metadata"]["generation"] = 1
        stored["metadata"]["managedFields"] = [_entry("Update", fields_of(keyed(_without_server_fields(body))))]
        self._objects[ref] = stored
        self._tell(stored)
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
        _check_immutable(ref, live, result)
        return self._store(ref, result)

    async def patch(self, ref: Ref, body: Object) -> Object:
        """See `Cluster`."""
        self._record("patch", ref.kind)
        live = self._existing(ref)
        self._check(live, body.get("metadata", {}))
        result = patched(live, body)
        if ref.kind == VOLUME_CLAIM:
            check_resize(ref, live, result, self.expandable)
        return self._store(ref, result)

    async def delete(self, ref: Ref, uid: str, dependants: str = BACKGROUND) -> None:
        """See `Cluster`."""
        self._record("delete", ref.kind)
        if ref in self._objects:
            self._check(self._objects[ref], {"uid": uid})
            gone = self._objects.pop(ref)
            self.orphaned += [ref] if dependants == ORPHAN else []
            self._tell(gone | {"metadata": gone["metadata"] | {"resourceVersion": self._next()}}, deleted=True)

    async def patch_status(self, ref: Ref, status: Object) -> Object:
        """See `Cluster`."""
        self._record("patch/status", ref.kind)
        live = self._existing(ref)
        return self._store(ref, live | {"status": patched(live.get("status"), status)})

    def refer(self, gateway: Key, refs: Iterable[Ref]) -> None:
        """See `Cluster`. Follows nothing, and keeps what was told."""
        self.referred[gateway] = set(refs)

    async def record_event(self, event: Object) -> None:
        """See `Cluster`."""
        self._record("create", EVENT)
        self.events.append(copy.deepcopy(event))

    def _next(self) -> str:
        self._version = next(self._numbers)
        return str(self._version)

    def _tell(self, body: Object, *, deleted: bool = False) -> None:
        for listener in list(self.listeners):
            listener(News(copy.deepcopy(body), deleted=deleted))

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
            changed["metadata"]["resourceVersion"] = self._next()
            if ref.kind in _WITH_GENERATION and changed.get("spec") != live.get("spec"):
                changed["metadata"]["generation"] += 1
            self._objects[ref] = changed
            self._tell(changed)
        return copy.deepcopy(self._objects[ref])


def _check_immutable(ref: Ref, live: Object, wanted: Object) -> None:
    for path in _IMMUTABLE.get(ref.kind, ()):
        if _at(live, path) != _at(wanted, path):
            message = f'{ref.kind.name} "{ref.name}" is invalid: {".".join(path)}: field is immutable'
            raise ImmutableError(message)


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for field in path:
        body = body.get(field, {})
    return body


def _carries(body: Object, labels: Mapping[str, str]) -> bool:
    return all(body["metadata"].get("labels", {}).get(label) == value for label, value in labels.items())


def _without_server_fields(body: Object) -> Object:
    """Return what the writer of *body* sets himself."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in _SERVER_SET}
    return {**body, "metadata": metadata}


def _entry(operation: str, fields: dict[str, Any]) -> Object:
    return {"manager": OPERATOR, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields}
