"""How far volumes are on their way to the size that the resource wants, and why one does not get there.

A volume that stays as it is costs no mail, so only Progressing says so, and `Ready` goes on telling whether mail gets through.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from smtp_gateway_operator.names import volume_claim
from smtp_gateway_operator.status.reasons import Judged, Reason, false, true
from smtp_gateway_operator.status.told import named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smtp_gateway_operator.steps.growing import Extent


@dataclass(frozen=True, slots=True)
class Growth:
    """What there is to say about the sizes of a gateway's volumes."""

    gateway: str = ""
    wanted: str = ""
    """The size that the resource wants."""
    extents: Mapping[int, Extent] = field(default_factory=dict)
    """By ordinal, of the pods that there are."""
    refused: Mapping[int, str] = field(default_factory=dict)
    """Why the API server lets a claim not request what is wanted, by ordinal."""


def growing(growth: Growth) -> Judged | None:
    """Return what Progressing says of the volumes; None when all are as wanted."""
    larger = {number: one for number, one in growth.extents.items() if number not in growth.refused and one.is_larger(growth.wanted)}
    if growth.refused:
        refusals = [f"{_sized(growth, number)}: {why}" for number, why in growth.refused.items()]
        return false(Reason.VOLUMES_CANNOT_GROW, f"{_wish(growth)}, and volumes keep their size: {named(refusals)}")
    if larger:
        kept = named([_sized(growth, number) for number in larger])
        return false(Reason.VOLUMES_CANNOT_SHRINK, f"{_wish(growth)}, and volumes that are larger stay so: {kept}")
    if moving := {number: one for number, one in growth.extents.items() if not one.is_met()}:
        states = [f"{_sized(growth, number)}{': ' if one.said else ''}{one.said}" for number, one in moving.items()]
        return true(Reason.RESIZING_VOLUMES, f"{_wish(growth)}, and volumes are being resized: {named(states)}")
    return None


def _wish(growth: Growth) -> str:
    return f"spec.spool.volume.size is {growth.wanted}"


def _sized(growth: Growth, number: int) -> str:
    return f"{volume_claim(growth.gateway, number)} has {growth.extents[number].capacity}"
