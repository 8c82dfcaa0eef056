"""CertificateValid: whether the certificate that clients are shown is good, and for how long.

The days before its end are steps of their own, each worth an Event. A pair of the operator's own is renewed at two thirds of its 90
days, which is 30 days before its end: the first step would be told with each renewal, and is left out for it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from smtp_gateway_operator.status.reasons import Judged, Reason, false, true, unknown
from smtp_gateway_operator.status.told import named, unheard

if TYPE_CHECKING:
    from smtp_gateway_operator.status.told import Told

STEPS = (
    (timedelta(days=1), Reason.EXPIRES_WITHIN_A_DAY),
    (timedelta(days=7), Reason.EXPIRES_WITHIN_A_WEEK),
    (timedelta(days=30), Reason.EXPIRES_WITHIN_A_MONTH),
)
"""What is told so long before the end, the nearest first."""


def certificates(told: Told, now: datetime) -> Judged:
    """Judge the listeners' certificate at *now*."""
    ends = {
        pod: datetime.fromtimestamp(report.certificate.not_after, UTC)
        for pod, report in told.reports.items()
        if report.certificate.not_after is not None
    }
    if over := [f"{pod} since {end:%Y-%m-%d}" for pod, end in sorted(ends.items()) if end <= now]:
        return false(Reason.EXPIRED, f"the certificate has expired: {named(over)}")
    problems = {pod: report.certificate.problem for pod, report in sorted(told.reports.items()) if report.certificate.problem}
    if problems:
        said = named([f"{pod}: {problem}" for pod, problem in problems.items()])
        return false(Reason.NEW_PAIR_UNUSABLE, f"a newer certificate cannot be used, and the one before stays in force: {said}")
    if untold := unheard(told):
        return untold
    if missing := sorted(set(told.reports) - set(ends)):
        return unknown(Reason.NO_REPORT, f"nothing is known of the certificate of {', '.join(missing)}")
    return _lasting(min(ends.values()), now, issued=told.issued)


def _lasting(end: datetime, now: datetime, *, issued: bool) -> Judged:
    steps = STEPS[:2] if issued else STEPS
    for before, reason in steps:
        if end - now < before:
            return true(reason, f"the certificate expires on {end:%Y-%m-%d} at {end:%H:%M} UTC")
    return true(Reason.VALID, f"the certificate is valid until {end:%Y-%m-%d}")
