"""Which volumes are to become larger, by what their claims request and have. Pure.

A claim's request is raised, and whoever provisioned the volume makes it larger; the pod keeps running on it. Volumes never shrink. A
request that was raised and is not met yet can be taken back (Kubernetes, "Recovering from failure when expanding volumes").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.spec import amount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smtp_gateway_operator.steps.volumes import Claims

_AT_WORK = ("Resizing", "FileSystemResizePending")
_IN_TROUBLE = ("ControllerResizeError", "NodeResizeError")
"""Conditions by which a claim says how far its resizing is (`core/v1`, PersistentVolumeClaimConditionType)."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How large one volume should be, and is."""

    requested: str
    """As its claim says."""
    capacity: str
    said: str
    """What the claim says of its resizing; empty when nothing."""

    def differs(self, wanted: str) -> bool:
        """Tell whether the request should be *wanted*, and can be: what the volume has already is neither asked for nor given back."""
        return amount(self.requested) != amount(wanted) and amount(wanted) > amount(self.capacity)

    def is_larger(self, wanted: str) -> bool:
        """Tell whether the volume was asked to be larger than *wanted* and became so."""
        return amount(self.requested) > amount(wanted) and amount(wanted) <= amount(self.capacity)

    def is_met(self) -> bool:
        """Tell whether the volume is as large as its claim requests."""
        return amount(self.capacity) >= amount(self.requested)


def extents(claims: Claims, size: int) -> dict[int, Extent]:
    """Return how large the volumes of a fleet of *size* are, by ordinal.

    Those without a pod wait until they have one again: many are resized to the end only when they are mounted.
    """
    bound = {number: claim for number, claim in sorted(claims.items()) if number < size and _is_bound(claim)}
    found = {number: _extent(claim) for number, claim in bound.items()}
    return {number: extent for number, extent in found.items() if extent is not None}


def to_change(claims: Claims, size: int, wanted: str) -> tuple[int, ...]:
    """Return the ordinals of a fleet of *size* whose claims should request *wanted*."""
    return tuple(number for number, extent in extents(claims, size).items() if extent.differs(wanted))


def _extent(claim: Mapping[str, Any]) -> Extent | None:
    """Return the claim's extent; None when it does not say."""
    status = claim.get("status") or {}
    requested = ((claim.get("spec") or {}).get("resources") or {}).get("requests", {}).get("storage")
    capacity = (status.get("capacity") or {}).get("storage")
    return Extent(str(requested), str(capacity), _said(status)) if requested and capacity else None


def _said(status: Mapping[str, Any]) -> str:
    """Return the condition that says most of a resizing: what went wrong before what goes on."""
    holding = {one["type"]: one.get("message", "") for one in status.get("conditions") or [] if one.get("status") == "True"}
    found = next((name for name in (*_IN_TROUBLE, *reversed(_AT_WORK)) if name in holding), "")
    return f"{found}: {holding[found]}" if found and holding[found] else found


def _is_bound(claim: Mapping[str, Any]) -> bool:
    return bool((claim.get("status") or {}).get("phase") == "Bound")
