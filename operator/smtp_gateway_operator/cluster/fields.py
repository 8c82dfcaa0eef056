"""Which fields of an object somebody set: what server-side apply calls managed fields, as far as the twin needs them.

Lists that Kubernetes treats as maps (ports, containers, ...) are turned into dicts under their keys for the time of an operation,
so that everything else here knows only dicts and leaves. Any other list is one leaf. The field sets resemble FieldsV1: a dict of
dicts, empty at a leaf.
"""

from __future__ import annotations

import json
from typing import Any

_KEYS = {
    "conditions": ("type",),
    "containers": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("port", "containerPort", "protocol"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Fields whose lists are maps, with what identifies an item (`x-kubernetes-list-map-keys` of the built-in kinds)."""
_ITEM = "k:"
"""What the key of a list's item begins with; no field of Kubernetes does."""


def keyed(value: Any, field: str = "") -> Any:
    """Return *value* with lists that are maps turned into dicts."""
    if isinstance(value, dict):
        return {name: keyed(one, name) for name, one in value.items()}
    if isinstance(value, list) and value and field in _KEYS:  # an empty one could not be told from an empty dict afterwards
        return {_item_key(field, one): keyed(one) for one in value}
    return value


def listed(value: Any) -> Any:
    """Undo `keyed`."""
    if not isinstance(value, dict):
        return value
    plain = {name: listed(one) for name, one in value.items()}
    return list(plain.values()) if plain and all(name.startswith(_ITEM) for name in plain) else plain


def fields_of(value: Any) -> dict[str, Any]:
    """Return the set of fields in a keyed *value*."""
    return {name: fields_of(one) for name, one in value.items()} if isinstance(value, dict) else {}


def merged(live: Any, given: Any) -> Any:
    """Return keyed *live* with everything that keyed *given* says."""
    if not isinstance(live, dict) or not isinstance(given, dict):
        return given
    return live | {name: merged(live.get(name), one) for name, one in given.items()}


def without(live: Any, fields: dict[str, Any], kept: tuple[dict[str, Any], ...]) -> Any:
    """Return keyed *live* without the leaves in *fields* that no set in *kept* has."""
    if not isinstance(live, dict):
        return live
    left = {}
    for name, one in live.items():
        keeping = tuple(fields_kept[name] for fields_kept in kept if name in fields_kept)
        if name not in fields:
            left[name] = one
        elif keeping:
            left[name] = without(one, fields[name], keeping)
        elif fields[name] and (rest := without(one, fields[name], ())):
            left[name] = rest
    return left


def patched(live: Any, patch: Any) -> Any:
    """Return *live* with a merge patch applied (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(live) if isinstance(live, dict) else {}
    for name, one in patch.items():
        if one is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), one)
    return result


def _item_key(field: str, item: dict[str, Any]) -> str:
    return _ITEM + json.dumps({key: item[key] for key in _KEYS[field] if key in item})
