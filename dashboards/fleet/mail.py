"""What becomes of mail, at all gateways."""

from __future__ import annotations

from dashboards.panels import BAD, GOOD, HALF, WATCH, Look, Panel, Query, State, Threshold, Unit
from dashboards.promql import FLEET, gateways, happened, metric, per_minute, total

UPSTREAM = "namespace, gateway, route, host, port"
ALERTS = 'alertname=~"SmtpGateway.+", alertstate="firing"'

MAIL = (
    Panel(
        "Recipients by what came of them",
        "What comes in and what goes out, a minute, of all gateways. Deferred recipients count once an attempt.",
        (
            Query(per_minute("", "accepted_recipients_total", FLEET), "accepted"),
            Query(per_minute("", "delivered_recipients_total", FLEET), "delivered"),
            Query(per_minute("", "deferred_recipients_total", FLEET), "deferred"),
            Query(per_minute("", "bounced_recipients_total", FLEET), "bounced"),
        ),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayNothingDelivered",
    ),
    Panel(
        "Queue",
        "Messages in the spools of each gateway, those being delivered included.",
        (Query(total("namespace, gateway", metric("queue_messages", FLEET)), "{{namespace}}/{{gateway}}"),),
        Unit.COUNT,
        runbook="SmtpGatewayQueueGrowing",
        thresholds=(Threshold(1000, WATCH),),
    ),
    Panel(
        "Late mail",
        "By how much the most overdue message of each gateway is late. Mail that waits for its next attempt is not late.",
        (Query(f"max by (namespace, gateway) ({gateways(metric('queue_lateness_seconds', FLEET))})", "{{namespace}}/{{gateway}}"),),
        Unit.SECONDS,
        runbook="SmtpGatewayMailLate",
        thresholds=(Threshold(600, BAD),),
    ),
    Panel(
        "Delivered by gateway",
        "Recipients that next hops took, a minute.",
        (Query(per_minute("namespace, gateway", "delivered_recipients_total", FLEET), "{{namespace}}/{{gateway}}"),),
        Unit.PER_MINUTE,
        stacked=True,
    ),
    Panel(
        "Deferred by route",
        "Recipients that were put off, a minute: which gateway and which route stalls.",
        (Query(per_minute("namespace, gateway, route", "deferred_recipients_total", FLEET), "{{namespace}}/{{gateway}} {{route}}"),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayNothingDelivered",
    ),
    Panel(
        "Bounced by route",
        "Recipients that failed for good, a minute. Receivers judge senders by this.",
        (Query(per_minute("namespace, gateway, route", "bounced_recipients_total", FLEET), "{{namespace}}/{{gateway}} {{route}}"),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayBounces",
    ),
)

WAY_OUT = (
    Panel(
        "Smarthosts",
        "Whether every pod could send through each smarthost, by its last probe.",
        (Query(f"min by ({UPSTREAM}) ({gateways(metric('upstream_up', FLEET))})", "{{gateway}} {{route}} {{host}}:{{port}}"),),
        Unit.STATE,
        Look.STATES,
        HALF,
        runbook="SmtpGatewayUpstreamUnreachable",
        states=(State(0, "down", BAD), State(1, "up", GOOD)),
    ),
    Panel(
        "Why smarthosts are down",
        "What the last probe failed by, in one word; docs/admin-api.md says what each means. The number of pods is in the last column.",
        (Query(f"count by ({UPSTREAM}, credentials, cause) ({gateways(metric('upstream_failure', FLEET))})"),),
        Unit.COUNT,
        Look.TABLE,
        HALF,
        runbook="SmtpGatewayRouteUnreachable",
        nothing="none is down",
    ),
    Panel(
        "Port 25 towards exchangers",
        "Whether mail exchangers of several domains give no answer on port 25, and none of any domain does: the network blocks it.",
        (Query(f"max by (namespace, gateway) ({gateways(metric('port_25_blocked', FLEET))})", "{{namespace}}/{{gateway}}"),),
        Unit.STATE,
        Look.STATES,
        HALF,
        runbook="SmtpGatewayPort25Blocked",
        states=(State(0, "open", GOOD), State(1, "blocked", BAD)),
    ),
    Panel(
        "Alerts that fire",
        "The project's alerts, as Prometheus has them now, of all namespaces.",
        (Query(f"count by (alertname, severity, namespace, gateway, pod) (ALERTS{{{ALERTS}}})"),),
        Unit.COUNT,
        Look.TABLE,
        HALF,
        nothing="none",
    ),
)

WAY_IN = (
    Panel(
        "Refused commands",
        "Commands of senders that were refused for good, a minute: a program sends as somebody it may not be, to whom it may not, or too much.",
        (
            Query(
                happened("gateway, command, code", "refusals_total", FLEET, 'command=~"MAIL|RCPT|DATA|BDAT", code=~"5.."'),
                "{{gateway}} {{command}} {{code}}",
            ),
        ),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayMailRefused",
    ),
    Panel(
        "Failed logins",
        "AUTH exchanges that gave no login, a minute, by reason.",
        (Query(happened("gateway, reason", "authentication_failures_total", FLEET), "{{gateway}} {{reason}}"),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayAuthenticationFailures",
        thresholds=(Threshold(5, WATCH),),
    ),
    Panel(
        "Mail not taken",
        "Messages that spools could not make durable, a minute: the volume is full, read-only or failing.",
        (Query(happened("gateway, code", "postponed_messages_total", FLEET), "{{gateway}} {{code}}"),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayMailPostponed",
    ),
)
