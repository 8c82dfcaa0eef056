"""What a person who was woken looks at first: single numbers, that are red where something is wrong."""

from __future__ import annotations

from dashboards.panels import BAD, GOOD, WATCH, Panel, Query, Threshold, Unit, numbers
from dashboards.promql import FLEET, OPERATOR, gateways, metric, per_minute, total

DAY = 86400
UPSTREAM = "namespace, gateway, route, host, port"

NOW = numbers(
    Panel(
        "Accepted",
        "Recipients of mail that gateways took on, a minute. 0 where mail is expected: no client gets through, or all are refused.",
        (Query(per_minute("", "accepted_recipients_total", FLEET)),),
        Unit.PER_MINUTE,
    ),
    Panel(
        "Delivered",
        "Recipients that next hops took, a minute.",
        (Query(per_minute("", "delivered_recipients_total", FLEET)),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayNothingDelivered",
    ),
    Panel(
        "Deferred",
        "Recipients that were put off to another attempt, a minute: each attempt counts.",
        (Query(per_minute("", "deferred_recipients_total", FLEET)),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayNothingDelivered",
        thresholds=(Threshold(1, WATCH),),
    ),
    Panel(
        "Bounced",
        "Recipients that failed for good, a minute.",
        (Query(per_minute("", "bounced_recipients_total", FLEET)),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayBounces",
        thresholds=(Threshold(1, WATCH),),
    ),
    Panel(
        "Queue",
        "Messages in all spools.",
        (Query(total("", metric("queue_messages", FLEET))),),
        Unit.COUNT,
        runbook="SmtpGatewayQueueGrowing",
        thresholds=(Threshold(1000, WATCH), Threshold(10000, BAD)),
    ),
    Panel(
        "Oldest message",
        "Age of the oldest message of any pod. One dead destination is retried for days, so this alone is no fault: see how late mail is.",
        (Query(f"max({metric('queue_oldest_seconds', FLEET)})"),),
        Unit.SECONDS,
        thresholds=(Threshold(4 * 3600, WATCH),),
    ),
    Panel(
        "Mail is late by",
        "By how much the most overdue message is late: mail that is due and not attempted. Its gateway, and not its destination, is slow.",
        (Query(f"max({metric('queue_lateness_seconds', FLEET)})"),),
        Unit.SECONDS,
        runbook="SmtpGatewayMailLate",
        thresholds=(Threshold(60, WATCH), Threshold(600, BAD)),
    ),
    Panel(
        "Smarthosts down",
        "Smarthosts that at least one pod cannot send through.",
        (Query(f"sum(1 - min by ({UPSTREAM}) ({gateways(metric('upstream_up', FLEET))}))"),),
        Unit.COUNT,
        runbook="SmtpGatewayUpstreamUnreachable",
        thresholds=(Threshold(1, BAD),),
    ),
    Panel(
        "Mail not taken in 5 minutes",
        "Messages that spools could not make durable, so that their clients were told to come again.",
        (Query(f"round(sum(increase({metric('postponed_messages_total', FLEET)}[5m])))"),),
        Unit.COUNT,
        runbook="SmtpGatewayMailPostponed",
        thresholds=(Threshold(1, BAD),),
    ),
    Panel(
        "Least room in a spool",
        "What new mail may still use of the fullest volume.",
        (Query(f"min({metric('spool_free_bytes', FLEET)} / {metric('spool_volume_bytes', FLEET)})"),),
        Unit.SHARE,
        runbook="SmtpGatewaySpoolFilling",
        base=BAD,
        thresholds=(Threshold(0.05, WATCH), Threshold(0.2, GOOD)),
        nothing="?",
    ),
    Panel(
        "Next certificate expires in",
        "Until the first certificate of any pod's listeners expires.",
        (Query(f"min({metric('certificate_expiration_timestamp_seconds', FLEET)} - time())"),),
        Unit.SECONDS,
        runbook="SmtpGatewayCertificateExpiring",
        base=BAD,
        thresholds=(Threshold(7 * DAY, WATCH), Threshold(14 * DAY, GOOD)),
        nothing="?",
    ),
    Panel(
        "Gateways not Ready",
        "SmtpGateways whose condition Ready is not True; `kubectl get smtpgw -A` says which and why.",
        (Query(f"sum(1 - {metric('operator_resource_ready', OPERATOR)})"),),
        Unit.COUNT,
        runbook="SmtpGatewayNotReady",
        thresholds=(Threshold(1, BAD),),
        nothing="?",
    ),
    Panel(
        "Extra configurations",
        "Pods of one gateway should run on one configuration: how many others there are.",
        (
            Query(
                f"sum(count by (namespace, gateway) (count by (namespace, gateway, hash) ({gateways(metric('config_info', FLEET))})) - 1)"
            ),
        ),
        Unit.COUNT,
        runbook="SmtpGatewayConfigurationOutdated",
        thresholds=(Threshold(1, WATCH),),
        nothing="?",
    ),
    Panel(
        "Pods that take no mail",
        "Pods that drain, because they are to become empty or to stop.",
        (Query(total("", metric("draining", FLEET))),),
        Unit.COUNT,
        thresholds=(Threshold(1, WATCH),),
        nothing="?",
    ),
    Panel(
        "Operators at work",
        "Operators that hold their Lease. None: mail goes on, changes have no effect.",
        (Query("sum(smtp_gateway_operator_leader)"),),
        Unit.COUNT,
        runbook="SmtpGatewayOperatorAbsent",
        base=BAD,
        thresholds=(Threshold(1, GOOD),),
        nothing="none",
    ),
    Panel(
        "Oldest answer to a watch",
        "How long ago the API server last answered the quietest of the operator's watches. They ask again every five minutes.",
        (Query("max(time() - smtp_gateway_operator_watch_last_answer_timestamp_seconds)"),),
        Unit.SECONDS,
        runbook="SmtpGatewayWatchStale",
        thresholds=(Threshold(600, WATCH), Threshold(900, BAD)),
        nothing="?",
    ),
)
