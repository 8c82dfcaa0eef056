"""The objects of one kind as they were last told, by whatever told it: a watch, a list, or the answer to a write of our own.

Those three race each other, so the resource version decides and not the order of arrival: an object is never replaced by an older
one, and a deletion is remembered for as long as an older telling may still be under way. Pure: nothing is asked, nothing is waited for.

Objects are kept as compressed JSON, because as dicts, which are mostly pointers and empty space, those of a gateway take some 300 KiB
instead of 20. Each read is a copy, so what a reader does to it harms nobody.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from smtp_gateway_operator.cluster.api import Object, number_of, version_of
from smtp_gateway_operator.names import INSTANCE_LABEL, Key

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway_operator.cluster.api import Snapshot


class _Kept(NamedTuple):
    """One object."""

    version: int
    gateway: Key
    packed: bytes


class Shelf:
    """Objects by namespace and name, and by the gateway that their instance label names."""

    def __init__(self) -> None:
        """Start empty."""
        self._objects: dict[Key, _Kept] = {}
        self._of: defaultdict[Key, set[Key]] = defaultdict(set)
        self._gone: dict[Key, int] = {}

    def __len__(self) -> int:
        """Return how many objects there are."""
        return len(self._objects)

    def get(self, key: Key) -> Object | None:
        """Return the object, or None when none was told."""
        kept = self._objects.get(key)
        return None if kept is None else _unpacked(kept)

    def gateway(self, key: Key) -> Key | None:
        """Return the gateway that the object's label names; None when none was told."""
        kept = self._objects.get(key)
        return None if kept is None else kept.gateway

    def of(self, gateway: Key) -> tuple[Object, ...]:
        """Return the objects of *gateway*, by name."""
        return tuple(_unpacked(self._objects[key]) for key in sorted(self._of.get(gateway, ())))

    def everything(self) -> list[Key]:
        """Return every object's namespace and name, in that order."""
        return sorted(self._objects)

    def put(self, body: Object) -> bool:
        """Take *body*, unless something newer is known. Returns whether it was news."""
        key, version = key_of(body), version_of(body)
        known = self._objects.get(key)
        if version <= self._gone.get(key, -1) or (known is not None and version < known.version):
            return False
        if known is not None:
            self.forget(key)
        self._objects[key] = _Kept(version, gateway_of(body), zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 1))
        self._of[gateway_of(body)].add(key)
        return known is None or version > known.version

    def drop(self, body: Object) -> bool:
        """Take note that *body* was deleted, unless something newer is known. Returns whether it was news."""
        key, version = key_of(body), version_of(body)
        if version:
            self._gone[key] = max(version, self._gone.get(key, 0))
        known = self._objects.get(key)
        if known is None or known.version > version:
            return False
        self.forget(key)
        return True

    def forget(self, key: Key) -> None:
        """Forget what was told of an object that is being deleted, without knowing when it is gone."""
        known = self._objects.pop(key, None)
        if known is not None:
            self._of[known.gateway].discard(key)
            if not self._of[known.gateway]:
                del self._of[known.gateway]

    def corrected(self, snapshot: Snapshot, concerned: Callable[[Key, Key], bool]) -> tuple[list[Object], list[Key]]:
        """Agree with a list of all objects that are *concerned*, by their own key and that of their gateway.

        Returns what had not been told: objects, and those that are gone meanwhile.
        """
        missed = [body for body in snapshot.objects if self.put(body)]
        listed, at = {key_of(body) for body in snapshot.objects}, number_of(snapshot.version)
        # What is newer than the list was written after it, and cannot be in it.
        absent = [key for key, one in self._objects.items() if key not in listed and one.version <= at and concerned(key, one.gateway)]
        for key in absent:
            self.forget(key)
        return missed, absent

    def tidy(self, version: str) -> None:
        """Forget the deletions up to *version*: what was told before it has arrived by now."""
        self._gone = {key: when for key, when in self._gone.items() if when > number_of(version)}


def key_of(body: Object) -> Key:
    """Return the object's own namespace and name."""
    return Key(body["metadata"].get("namespace") or "", body["metadata"]["name"])


def gateway_of(body: Object) -> Key:
    """Return the gateway that a child's label names, as the key of the work queue; its name is empty when there is none."""
    labels = body["metadata"].get("labels") or {}
    return Key(body["metadata"].get("namespace") or "", labels.get(INSTANCE_LABEL, ""))


def _unpacked(kept: _Kept) -> Object:
    body: Object = json.loads(zlib.decompress(kept.packed))
    return body
