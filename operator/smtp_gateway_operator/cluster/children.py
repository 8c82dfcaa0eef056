"""A gateway's children, brought about through the port: created, applied, trimmed, pruned.

Four rules of this file. An object that the gateway does not control is never written to and never deleted. A write names the uid
that was checked, so that an object which took the name since is not hit. What is as it was applied is not applied again. An object
with a field that cannot be changed is made anew only where nothing is lost with it: a Secret would take keys along, and volumes are no
children at all; a StatefulSet leaves its pods running, and the new one takes them over.

What can go wrong: `OwnershipError` when somebody else's object has a child's name, `PredecessorError` while the child of a deleted
namesake is still there, and the errors of the port.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from smtp_gateway_operator import names
from smtp_gateway_operator.cluster.api import (
    BACKGROUND,
    CHILD_KINDS,
    CONFIG_MAP,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    OPTIONAL_KINDS,
    ORPHAN,
    POD_MONITOR,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    ConflictError,
    ImmutableError,
    Kind,
    NotFoundError,
    Object,
    Ref,
    ref_of,
)
from smtp_gateway_operator.names import OPERATOR, Key, Owner
from smtp_gateway_operator.spec import KIND

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

    from smtp_gateway_operator.cluster.api import Cluster

Live = dict[Ref, Object]
MADE_ANEW = (SERVICE_ACCOUNT, CONFIG_MAP, SERVICE, NETWORK_POLICY, DISRUPTION_BUDGET, POD_MONITOR, STATEFUL_SET)
"""Kinds of children that hold nothing that could not be made again."""

ASK_AGAIN = 600.0
"""Seconds after which an API server is asked again for a kind that it did not know: somebody may have installed it since."""


class OwnershipError(Exception):
    """An object with a child's name belongs to somebody else; the message names it."""


class PredecessorError(Exception):
    """An object with a child's name is about to go with the deleted gateway that it belonged to; the message names it."""


class Children:
    """The children of all gateways."""

    def __init__(
        self, cluster: Cluster, made_anew: Callable[[Owner, str], Awaitable[None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Use *cluster*. *made_anew* is told a sentence when a child of an owner was deleted to be made again; *clock* tells seconds."""
        self._cluster = cluster
        self._made_anew = made_anew
        self._applied: dict[Ref, tuple[str, str]] = {}
        """What was applied last: the hash of what was wanted, and the version of the object that this made."""
        self._clock = clock
        self._unknown: dict[Kind, float] = {}
        """Optional kinds that the API server did not know, and when it said so."""
        self._without: set[tuple[Kind, Key]] = set()
        """Gateways without an object of an optional kind."""

    async def live(self, owner: Owner) -> Live:
        """Return the objects that carry the labels of the gateway's children and are controlled by it."""
        found: Live = {}
        for kind in CHILD_KINDS:
            objects = await self._cluster.list(kind, owner.namespace, names.children_selector(owner.name))
            found |= {ref_of(one): one for one in objects if controls(owner, one)}
        for kind in OPTIONAL_KINDS:
            found |= {ref_of(one): one for one in await self._optional(kind, owner) if controls(owner, one)}
        return found

    async def _optional(self, kind: Kind, owner: Owner) -> tuple[Object, ...]:
        """Return the gateway's objects of a kind that is not watched, and may be unknown.

        Once there were none, there are none until this process makes one: nobody else makes objects in the gateway's name.
        """
        key = Key(owner.namespace, owner.name)
        if self._is_unknown(kind) or (kind, key) in self._without:
            return ()
        try:
            found = await self._cluster.list(kind, owner.namespace, names.children_selector(owner.name))
        except NotFoundError:
            self._unknown[kind] = self._clock()
            return ()
        if not found:
            self._without.add((kind, key))
        return found

    def _is_unknown(self, kind: Kind) -> bool:
        return self._clock() < self._unknown.get(kind, -math.inf) + ASK_AGAIN

    async def bring_about(self, owner: Owner, desired: Object, live: Live) -> Object:
        """Make one child what *desired* says, and return it as stored. Raises `OwnershipError` and `PredecessorError`."""
        ref = ref_of(desired)
        present = live.get(ref)
        wanted = names.hash_of(desired)
        if present is None:
            stored = await self._created(owner, ref, desired)
        elif self._applied.get(ref) == (wanted, present["metadata"]["resourceVersion"]):
            stored = present
        else:
            stored = await self._changed(owner, ref, desired, present)
        if trim := additions(stored, desired):
            stored = await self._cluster.patch(ref, trim)
        self._applied[ref] = (wanted, stored["metadata"]["resourceVersion"])
        return stored

    async def offer(self, owner: Owner, desired: Object, live: Live) -> None:
        """Make one child of an optional kind what *desired* says where the API server knows the kind; nothing where it does not."""
        kind = ref_of(desired).kind
        if self._is_unknown(kind):
            return
        try:
            live[ref_of(desired)] = await self.bring_about(owner, desired, live)
        except NotFoundError:
            self._unknown[kind] = self._clock()

    async def prune(self, live: Live, desired: Iterable[Object], kept: Collection[str]) -> None:
        """Delete the live children that are not wanted any more, but no Secret whose name is in *kept*."""
        wanted = {ref_of(one) for one in desired}
        for ref, present in live.items():
            if ref not in wanted and not (ref.kind == SECRET and ref.name in kept):
                await self._cluster.delete(ref, present["metadata"]["uid"])
                self._applied.pop(ref, None)

    def forget(self, key: Key) -> None:
        """Forget what was applied for a gateway that is gone, and what it referred to."""
        self._cluster.refer(key, ())
        for ref in [ref for ref in self._applied if ref.namespace == key.namespace and _of(ref, key)]:
            del self._applied[ref]
        self._without = {one for one in self._without if one[1] != key}

    async def _created(self, owner: Owner, ref: Ref, desired: Object) -> Object:
        """Create the child; when the name is taken by one of ours that lost its labels, apply it instead."""
        self._unknown.pop(ref.kind, None)
        self._without.discard((ref.kind, Key(owner.namespace, owner.name)))
        try:
            return await self._cluster.create(desired)
        except ConflictError:
            present = await self._cluster.get(ref)
            if present is None:
                raise
        _check(owner, ref, present)
        return await self._apply(ref, desired, present)

    async def _changed(self, owner: Owner, ref: Ref, desired: Object, present: Object) -> Object:
        """Apply the child; make it anew when it cannot become what is wanted and holds nothing.

        Raises `ConflictError` while the old one is still there: the garbage collector has to let go of its pods first.
        """
        try:
            return await self._apply(ref, desired, present)
        except ImmutableError as error:
            if ref.kind not in MADE_ANEW:
                raise
            dependants = ORPHAN if ref.kind == STATEFUL_SET else BACKGROUND
            await self._cluster.delete(ref, present["metadata"]["uid"], dependants)
            if not present["metadata"].get("deletionTimestamp"):
                await self._made_anew(owner, f"{ref} is made anew, because a field of it cannot be changed: {error}")
            return await self._cluster.create(desired)

    async def _apply(self, ref: Ref, desired: Object, present: Object) -> Object:
        if handover := creation_as_application(present):
            await self._cluster.patch(ref, handover)
        return await self._cluster.apply({**desired, "metadata": desired["metadata"] | {"uid": present["metadata"]["uid"]}})


def controls(owner: Owner, present: Object) -> bool:
    """Tell whether *owner*, and not a namesake, controls the object."""
    controller = _controller(present)
    return controller is not None and controller.get("uid") == owner.uid


def additions(present: Object, desired: Object) -> Object | None:
    """Return the merge patch that removes what others added where nothing may be added; None when there is nothing.

    Additions are tolerated, because meshes and injectors live by them, except in a Service's selector and ports, which say where
    mail goes, and in a Secret's data, which pods read whole.
    """
    kind = ref_of(desired).kind
    patch: Object = {}
    if kind == SECRET and (added := _added(present, desired, "data")):
        patch = {"data": added}
    elif kind == SERVICE:
        if added := _added(present["spec"], desired["spec"], "selector"):
            patch = {"spec": {"selector": added}}
        if _ports(present) - _ports(desired):
            patch = {"spec": patch.get("spec", {}) | {"ports": desired["spec"]["ports"]}}
    return {"metadata": _this_version(present)} | patch if patch else None


def creation_as_application(present: Object) -> Object | None:
    """Return the merge patch that turns the fields set by the child's creation into applied ones; None when it is done.

    Otherwise a field could never be removed again: a creation and an application are two managers even under one name, and the
    first would hold on to what the second leaves out.
    """
    managed = present["metadata"].get("managedFields") or []
    ours = [entry for entry in managed if entry.get("manager") == OPERATOR and not entry.get("subresource")]
    created = next((entry for entry in ours if entry["operation"] == "Update"), None)
    if created is None or any(entry["operation"] == "Apply" for entry in ours):
        return None
    handed = [{**entry, "operation": "Apply"} if entry is created else entry for entry in managed]
    return {"metadata": _this_version(present) | {"managedFields": handed}}


def _check(owner: Owner, ref: Ref, present: Object) -> None:
    if controls(owner, present):
        return
    controller = _controller(present)
    if controller is not None and (controller.get("kind"), controller.get("name")) == (KIND, owner.name):
        message = f"{ref} still belongs to a deleted {KIND} of the same name, and goes with it"
        raise PredecessorError(message)
    message = f"{ref} exists and does not belong to this {KIND}; it is left alone"
    raise OwnershipError(message)


def _controller(present: Object) -> Mapping[str, object] | None:
    references = present["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def _added(present: Object, desired: Object, field: str) -> dict[str, None]:
    return dict.fromkeys(sorted(set(present.get(field) or {}) - set(desired[field])))


def _ports(service: Object) -> set[tuple[int, str]]:
    return {(port["port"], port.get("protocol", "TCP")) for port in service["spec"].get("ports") or []}


def _this_version(present: Object) -> Object:
    return {"uid": present["metadata"]["uid"], "resourceVersion": present["metadata"]["resourceVersion"]}


def _of(ref: Ref, key: Key) -> bool:
    return ref.name == key.name or ref.name.startswith(f"{key.name}-")
