"""How one gateway is, in single numbers."""

from __future__ import annotations

from dashboards.panels import BAD, GOOD, WATCH, Panel, Query, Threshold, Unit, numbers
from dashboards.promql import ONE, metric, per_minute, total

DAY = 86400

NOW = numbers(
    Panel(
        "Accepted",
        "Messages that this gateway took on, a minute.",
        (Query(per_minute("", "accepted_messages_total", ONE)),),
        Unit.PER_MINUTE,
    ),
    Panel(
        "Delivered",
        "Recipients that next hops took, a minute.",
        (Query(per_minute("", "delivered_recipients_total", ONE)),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayNothingDelivered",
    ),
    Panel(
        "Queue",
        "Messages in the spools, those being delivered included.",
        (Query(total("", metric("queue_messages", ONE))),),
        Unit.COUNT,
        runbook="SmtpGatewayQueueGrowing",
        thresholds=(Threshold(1000, WATCH), Threshold(10000, BAD)),
    ),
    Panel(
        "Held",
        "Messages that a person holds with `smtp-gateway queue hold`: nobody tries to deliver them.",
        (Query(total("", metric("queue_held_messages", ONE))),),
        Unit.COUNT,
        thresholds=(Threshold(1, WATCH),),
    ),
    Panel(
        "Mail is late by",
        "By how much the most overdue message is late: it is due, and not attempted.",
        (Query(f"max({metric('queue_lateness_seconds', ONE)})"),),
        Unit.SECONDS,
        runbook="SmtpGatewayMailLate",
        thresholds=(Threshold(60, WATCH), Threshold(600, BAD)),
    ),
    Panel(
        "Sessions",
        "SMTP sessions that are open now.",
        (Query(total("", metric("open_sessions", ONE))),),
        Unit.COUNT,
    ),
    Panel(
        "Certificate expires in",
        "Until the first certificate of the pods expires.",
        (Query(f"min({metric('certificate_expiration_timestamp_seconds', ONE)} - time())"),),
        Unit.SECONDS,
        runbook="SmtpGatewayCertificateExpiring",
        base=BAD,
        thresholds=(Threshold(7 * DAY, WATCH), Threshold(14 * DAY, GOOD)),
        nothing="?",
    ),
    Panel(
        "Draining",
        "Pods that take no new mail, because they are to become empty or to stop.",
        (Query(total("", metric("draining", ONE))),),
        Unit.COUNT,
        thresholds=(Threshold(1, WATCH),),
        nothing="?",
    ),
)
