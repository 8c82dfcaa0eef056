"""The port, answered from what the watches told: in the steady state a reconcile asks the API server nothing.

Three rules of this file. A read sees every write of our own, because the answer to a write is taken in like news of a watch. Whatever
went wrong with a gateway's object makes its next reads live ones. And no watch is trusted for longer than a resync: `refresh` lists
everything live, the list is right, and a watch that does not tell within `GRACE` what the list told is stale (`stale`).

What can go wrong: a deletion that a watch did not tell, because it was interrupted for too long, is known with the next refresh.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from smtp_gateway_operator.cluster.api import (
    BACKGROUND,
    GATEWAY,
    WATCHED_KINDS,
    ConflictError,
    Kind,
    NotFoundError,
    Object,
    Ref,
    Snapshot,
    UnavailableError,
    ref_of,
    version_of,
)
from smtp_gateway_operator.cluster.shelf import Shelf, gateway_of, key_of
from smtp_gateway_operator.names import INSTANCE_LABEL, MANAGED_BY_LABEL, OPERATOR, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from smtp_gateway_operator.cluster.api import Cluster, News
    from smtp_gateway_operator.cluster.followed import Followed

KINDS = (GATEWAY, *WATCHED_KINDS)
"""What is kept: what kopf watches."""
OURS = {MANAGED_BY_LABEL: OPERATOR}
GRACE = 60.0
"""Seconds in which a watch has to tell what a list told; it usually takes milliseconds."""

Missed = tuple[str, int]
"""How many changes of a resource a watch had not told when a list did."""


class CachedCluster:
    """The port `Cluster` in front of another, and of the Secrets that are followed by name."""

    def __init__(self, cluster: Cluster, followed: Followed, namespaces: Sequence[str], clock: Callable[[], float]) -> None:
        """Serve *namespaces*, or all when there are none. Nothing is answered from memory before `refresh`; *clock* never jumps."""
        self._cluster = cluster
        self._followed = followed
        self._namespaces: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._clock = clock
        self._shelves = {kind: Shelf() for kind in KINDS}
        self._complete: set[Kind] = set()
        self._doubtful: defaultdict[Key, set[Kind]] = defaultdict(set)
        self._awaited: dict[Ref, tuple[int, float]] = {}

    def heard(self, kind: Kind, news: News) -> None:
        """Take in what a watch told."""
        shelf, ref = self._shelves[kind], Ref(kind, news.body["metadata"]["namespace"], news.body["metadata"]["name"])
        version, _ = self._awaited.get(ref, (0, 0.0))
        if news.deleted or version_of(news.body) >= version:
            self._awaited.pop(ref, None)
        if news.deleted:
            shelf.drop(news.body)
        else:
            shelf.put(news.body)

    async def refresh(self) -> tuple[Missed, ...]:
        """List everything live, for all that a watch may not have told. Returns how much of each resource that was."""
        missed = []
        for kind in KINDS:
            first = kind not in self._complete
            number = sum([await self._corrected(kind, namespace, first=first) for namespace in self._namespaces])
            self._complete.add(kind)
            missed += [] if first else [(kind.plural, number)]
        return tuple(missed)

    def stale(self) -> Ref | None:
        """Return an object whose change was listed `GRACE` ago and not told by its watch since; None when there is none."""
        now = self._clock()
        return next((ref for ref, (_, since) in self._awaited.items() if now - since > GRACE), None)

    def gateways(self) -> list[Key]:
        """Return every gateway that is known."""
        return self._shelves[GATEWAY].everything()

    async def get(self, ref: Ref) -> Object | None:
        """See `Cluster`. Only what is there is answered from memory; that something is not there is worth a question."""
        if self._followed.knows(ref):
            return self._followed.get(ref)
        known = self._shelves[ref.kind].get(Key(ref.namespace, ref.name)) if ref.kind in self._complete else None
        if known is not None and ref.kind not in self._doubtful.get(_gateway(known), ()):
            return known
        body = await self._cluster.get(ref)
        if body is not None:
            self._take(body)
            self._sure(ref.kind, _gateway(body))
        elif known is not None:
            self._shelves[ref.kind].forget(Key(ref.namespace, ref.name))
            self._sure(ref.kind, _gateway(known))
        return body

    async def list(self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None) -> tuple[Object, ...]:
        """See `Cluster`. The children of one gateway are answered from memory."""
        gateway = _asked_for(kind, namespace, labels)
        if gateway is None:
            return (await self._cluster.snapshot(kind, namespace, labels)).objects
        if kind not in self._complete or kind in self._doubtful.get(gateway, ()):
            snapshot = await self._cluster.snapshot(kind, namespace, labels)
            self._shelves[kind].corrected(snapshot, lambda _, one: one == gateway)
            self._sure(kind, gateway)
        return self._shelves[kind].of(gateway)

    async def snapshot(self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None) -> Snapshot:
        """See `Cluster`."""
        return await self._cluster.snapshot(kind, namespace, labels)

    async def create(self, body: Object) -> Object:
        """See `Cluster`."""
        with self._writing(ref_of(body), gateway_of(body)):
            return self._take(await self._cluster.create(body))

    async def apply(self, body: Object) -> Object:
        """See `Cluster`."""
        with self._writing(ref_of(body), gateway_of(body)):
            return self._take(await self._cluster.apply(body))

    async def patch(self, ref: Ref, body: Object) -> Object:
        """See `Cluster`."""
        with self._writing(ref):
            return self._take(await self._cluster.patch(ref, body))

    async def delete(self, ref: Ref, uid: str, dependants: str = BACKGROUND) -> None:
        """See `Cluster`."""
        with self._writing(ref):
            await self._cluster.delete(ref, uid, dependants)
        if ref.kind in self._shelves:
            self._shelves[ref.kind].forget(Key(ref.namespace, ref.name))

    async def patch_status(self, ref: Ref, status: Object) -> Object:
        """See `Cluster`."""
        with self._writing(ref):
            return self._take(await self._cluster.patch_status(ref, status))

    def refer(self, gateway: Key, refs: Iterable[Ref]) -> None:
        """See `Cluster`."""
        self._followed.follow(gateway, refs)

    async def record_event(self, event: Object) -> None:
        """See `Cluster`."""
        await self._cluster.record_event(event)

    async def _corrected(self, kind: Kind, namespace: str | None, *, first: bool) -> int:
        snapshot = await self._cluster.snapshot(kind, namespace, None if kind == GATEWAY else OURS)
        missed, gone = self._shelves[kind].corrected(snapshot, lambda key, _: namespace in (None, key.namespace))
        self._shelves[kind].tidy(snapshot.version)
        if not first:
            # A watch that is alive may be a moment behind the list; only what it does not tell later either was missed.
            now = self._clock()
            self._awaited |= {ref_of(body): (version_of(body), now) for body in missed if ref_of(body) not in self._awaited}
        return len(missed) + len(gone)

    def _take(self, body: Object) -> Object:
        ref = ref_of(body)
        if ref.kind in self._shelves and (ref.kind == GATEWAY or _is_ours(body)):
            self._shelves[ref.kind].put(body)
        return body

    @contextmanager
    def _writing(self, ref: Ref, gateway: Key | None = None) -> Iterator[None]:
        """Read everything of the gateway live once more when its object was not as thought, or when nobody knows what was written."""
        try:
            yield
        except (ConflictError, NotFoundError, UnavailableError, asyncio.CancelledError):
            for key in (gateway, self._concerned(ref)):
                if key is not None:
                    self._doubtful[key] = set(KINDS)
            raise

    def _concerned(self, ref: Ref) -> Key | None:
        """Return the gateway that *ref* is, or is a child of; None when that is not known."""
        own = Key(ref.namespace, ref.name)
        if ref.kind == GATEWAY:
            return own
        return self._shelves[ref.kind].gateway(own) if ref.kind in self._shelves else None

    def _sure(self, kind: Kind, gateway: Key) -> None:
        if gateway in self._doubtful:
            self._doubtful[gateway].discard(kind)
            if not self._doubtful[gateway]:
                del self._doubtful[gateway]


def _asked_for(kind: Kind, namespace: str | None, labels: Mapping[str, str] | None) -> Key | None:
    """Return the gateway whose children a list asks for; None when it asks for something else."""
    if kind not in KINDS or namespace is None or labels is None or labels.get(MANAGED_BY_LABEL) != OPERATOR:
        return None
    return Key(namespace, labels[INSTANCE_LABEL]) if set(labels) == {MANAGED_BY_LABEL, INSTANCE_LABEL} else None


def _is_ours(body: Object) -> bool:
    return (body["metadata"].get("labels") or {}).get(MANAGED_BY_LABEL) == OPERATOR


def _gateway(body: Object) -> Key:
    """Return the gateway that *body* is, or is a child of."""
    return key_of(body) if body["kind"] == GATEWAY.name else gateway_of(body)
