"""How many pods run the configuration that they should, and what is said while some do not.

Pods load a changed configuration within seconds and without a restart. One that refuses it is told when it has had the time to see
the whole of it: the Secrets of a volume are refreshed one by one, and in between they do not add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.names import short_hash
from smtp_gateway_operator.status.told import named

if TYPE_CHECKING:
    from collections.abc import Collection

    from smtp_gateway_operator.spec import PodReport
    from smtp_gateway_operator.status.told import Told

REFUSED = 15.0
"""Seconds after which a pod that cannot load the configuration is believed."""
OVERDUE = 180.0
"""Seconds after which waiting is no progress any more: the kubelet alone, without a nudge, refreshes within two minutes."""


def behind(told: Told) -> list[str]:
    """Return the pods that run another configuration than they should, each with what it says."""
    return [f"{pod}: {report.config_problem}" if report.config_problem else pod for pod, report in _late(told).items()]


def refused(told: Told, excused: Collection[str] = ()) -> str:
    """Return why pods that are not *excused* cannot load the configuration; empty when they can, or may yet."""
    refusals = {pod: report.config_problem for pod, report in _late(told).items() if report.config_problem and pod not in excused}
    return named([f"{pod}: {why}" for pod, why in refusals.items()]) if told.waited > REFUSED else ""


def sentence(told: Told) -> str:
    """Say how many pods run the configuration, and which do not."""
    return f"{current(told)} of {len(told.reports)} pods run configuration {short_hash(told.config_hash)}; still to load it: {named(behind(told))}"


def current(told: Told) -> int:
    """Return how many pods run the configuration that they should."""
    return sum(report.config_hash == told.config_hash for report in told.reports.values())


def configuration(told: Told) -> dict[str, Any] | None:
    """Return what the status shows of it; None when no configuration is known."""
    return {"hash": short_hash(told.config_hash), "podsCurrent": current(told)} if told.config_hash else None


def _late(told: Told) -> dict[str, PodReport]:
    """Return the reports of pods that run another configuration than they should, in the order of pods."""
    if not told.config_hash:
        return {}
    return {pod: report for pod, report in sorted(told.reports.items()) if report.config_hash != told.config_hash}
