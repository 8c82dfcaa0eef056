"""When the API server lets a volume claim request another size, as its validation and the plug-in PersistentVolumeClaimResize say it: for the twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.cluster.api import ForbiddenError, ImmutableError, Ref, RejectedError
from smtp_gateway_operator.spec import amount

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    Claim = Mapping[str, Any]


def check_resize(ref: Ref, live: Claim, wanted: Claim, expandable: Collection[str | None]) -> None:
    """Raise what the API server answers when the claim may not come to request what *wanted* does.

    *expandable* are the StorageClasses that allow volumes to grow.
    """
    before, after = _requested(live), _requested(wanted)
    if before is None or after is None or amount(before) == amount(after):
        return
    if (live.get("status") or {}).get("phase") != "Bound":
        message = f'PersistentVolumeClaim "{ref.name}" is invalid: spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims'
        raise ImmutableError(message)
    if amount(after) < amount(before):
        if amount(after) <= amount(((live.get("status") or {}).get("capacity") or {}).get("storage", "0")):
            message = f'PersistentVolumeClaim "{ref.name}" is invalid: spec.resources.requests.storage: field can not be less than status.capacity'
            raise RejectedError(message)
    elif live["spec"].get("storageClassName") not in expandable:
        why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
        message = f'persistentvolumeclaims "{ref.name}" is forbidden: {why}'
        raise ForbiddenError(message)


def _requested(claim: Claim) -> str | None:
    requested: str | None = ((claim.get("spec") or {}).get("resources") or {}).get("requests", {}).get("storage")
    return requested
