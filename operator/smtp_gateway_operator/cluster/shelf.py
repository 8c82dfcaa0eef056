"""The objects of one kind as they were last told, by whatever told it: a watch, a list, or the answer to a write of our own.

Those three race each other, so the resource version decides and not the order of arrival: an object is never replaced by an older
one, and a deletion is remembered for as long as an older telling may still be under way. Pure: nothing is asked, nothing is waited for.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from smtp_gateway_operator.cluster.api import Object, number_of, version_of
from smtp_gateway_operator.names import INSTANCE_LABEL, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from smtp_gateway_operator.cluster.api import Snapshot


class Shelf:
    """Objects by namespace and name, and by the gateway that their instance label names."""

    def __init__(self) -> None:
        """Start empty."""
        self._objects: dict[Key, Object] = {}
        self._of: defaultdict[Key, set[Key]] = defaultdict(set)
        self._gone: dict[Key, int] = {}

    def __len__(self) -> int:
        """Return how many objects there are."""
        return len(self._objects)

    def get(self, key: Key) -> Object | None:
        """Return the object, or None when none was told."""
        return self._objects.get(key)

    def of(self, gateway: Key) -> tuple[Object, ...]:
        """Return the objects of *gateway*, by name."""
        return tuple(self._objects[key] for key in sorted(self._of.get(gateway, ())))

    def everything(self) -> Iterable[Object]:
        """Return every object."""
        return self._objects.values()

    def put(self, body: Object) -> bool:
        """Take *body*, unless something newer is known. Returns whether it was news."""
        key, version = _key(body), version_of(body)
        known = self._objects.get(key)
        if version <= self._gone.get(key, -1) or (known is not None and version < version_of(known)):
            return False
        if known is not None:
            self._remove(key, known)
        self._objects[key] = body
        self._of[gateway_of(body)].add(key)
        return known is None or version > version_of(known)

    def drop(self, body: Object) -> bool:
        """Take note that *body* was deleted, unless something newer is known. Returns whether it was news."""
        key, version = _key(body), version_of(body)
        if version:
            self._gone[key] = max(version, self._gone.get(key, 0))
        known = self._objects.get(key)
        if known is None or version_of(known) > version:
            return False
        self._remove(key, known)
        return True

    def forget(self, key: Key) -> None:
        """Forget what was told of an object that is being deleted, without knowing when it is gone."""
        if known := self._objects.get(key):
            self._remove(key, known)

    def corrected(self, snapshot: Snapshot, concerned: Callable[[Object], bool]) -> tuple[list[Object], list[Object]]:
        """Agree with a list of all objects that are *concerned*. Returns what had not been told: objects, and those gone meanwhile."""
        missed = [body for body in snapshot.objects if self.put(body)]
        listed, at = {_key(body) for body in snapshot.objects}, number_of(snapshot.version)
        # What is newer than the list was written after it, and cannot be in it.
        gone = [body for body in self._objects.values() if concerned(body) and _key(body) not in listed and version_of(body) <= at]
        for body in gone:
            self._remove(_key(body), body)
        return missed, gone

    def tidy(self, version: str) -> None:
        """Forget the deletions up to *version*: what was told before it has arrived by now."""
        self._gone = {key: when for key, when in self._gone.items() if when > number_of(version)}

    def _remove(self, key: Key, known: Object) -> None:
        del self._objects[key]
        gateway = gateway_of(known)
        self._of[gateway].discard(key)
        if not self._of[gateway]:
            del self._of[gateway]


def gateway_of(body: Object) -> Key:
    """Return the gateway that a child's label names, as the key of the work queue; its name is empty when there is none."""
    labels = body["metadata"].get("labels") or {}
    return Key(body["metadata"].get("namespace") or "", labels.get(INSTANCE_LABEL, ""))


def _key(body: Object) -> Key:
    return Key(body["metadata"].get("namespace") or "", body["metadata"]["name"])
