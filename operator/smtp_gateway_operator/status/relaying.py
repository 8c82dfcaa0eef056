"""The judgement whether a gateway may relay for strangers. True is the bad answer here, as the condition's name says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway_operator.status.reasons import Judged, Reason, false, true, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smtp_gateway_operator.open_relay import Assessment, Finding
    from smtp_gateway_operator.spec import Risk


def reason_of(risk: Risk) -> Reason:
    """Return the reason that tells of *risk*: the word by which it is acknowledged."""
    return Reason(str(risk))


def open_relay_risk(assessment: Assessment | None, *, in_force: bool) -> Judged:
    """Return the judgement of *assessment*, None when the resource cannot be understood.

    *in_force*: whether what it withholds is withheld by now; not so while something else keeps objects from being changed.
    """
    if assessment is None:
        return unknown(Reason.CONFIG_INVALID, "not judged before the resource is valid")
    if assessment.withheld:
        return true(reason_of(assessment.withheld[0].risk), _withheld(assessment, in_force=in_force))
    if assessment.unchecked:
        return unknown(Reason.NOT_CHECKED, _unchecked(assessment))
    if assessment.acknowledged:
        return false(Reason.ACKNOWLEDGED, f"acknowledged: {_told(assessment.acknowledged)}")
    return false(Reason.NO_RISK, "nobody sends to anywhere without a login but from networks without a known risk")


def _withheld(assessment: Assessment, *, in_force: bool) -> str:
    names = ", ".join(assessment.listeners)
    what = f"not opened: {names}" if in_force else f"not to be opened, once something can be changed: {names}"
    return f"{what}; {_told(assessment.withheld)}; acknowledge each risk in the listener's acknowledgedRisks, or remove it"


def _unchecked(assessment: Assessment) -> str:
    return (
        f"the operator may not read nodes, so nobody knows whether allowed networks of {', '.join(assessment.unchecked)} hold addresses of"
        " nodes or pods; give it the right (chart value readNodes), or acknowledge ClusterAddresses"
    )


def _told(findings: Iterable[Finding]) -> str:
    return "; ".join(f"{one.listener} ({one.risk}): {one.sentence}" for one in findings)
