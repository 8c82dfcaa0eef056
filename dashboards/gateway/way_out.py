"""The way out: from the spool to next hops, by route."""

from __future__ import annotations

from dashboards.panels import BAD, GOOD, HALF, Look, Panel, Query, State, Threshold, Unit, heatmap
from dashboards.promql import ONE, buckets, happened, metric, per_minute, quantile, total

QUANTILES = ((0.5, "half"), (0.99, "99 of 100"))

ROUTES = (
    Panel(
        "Delivered by route",
        "Recipients that next hops took, a minute.",
        (Query(per_minute("route", "delivered_recipients_total", ONE), "{{route}}"),),
        Unit.PER_MINUTE,
        stacked=True,
    ),
    Panel(
        "Deferred and bounced by route",
        "Recipients that were put off or failed for good, a minute.",
        (
            Query(per_minute("route", "deferred_recipients_total", ONE), "{{route}} deferred"),
            Query(per_minute("route", "bounced_recipients_total", ONE), "{{route}} bounced"),
        ),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayBounces",
    ),
    Panel(
        "Retries by route",
        "Attempts after a first one, a minute: a route that comes back is seen by them.",
        (Query(per_minute("route", "retries_total", ONE), "{{route}}"),),
        Unit.PER_MINUTE,
    ),
    Panel(
        "Queue by route",
        "Messages that wait for each route. One that waits for two counts for both.",
        (Query(total("route", metric("route_queue_messages", ONE)), "{{route}}"),),
        Unit.COUNT,
        runbook="SmtpGatewayQueueGrowing",
    ),
    Panel(
        "Oldest message by route",
        "Age of the oldest message that waits for each route.",
        (Query(f"max by (route) ({metric('route_queue_oldest_seconds', ONE)})", "{{route}}"),),
        Unit.SECONDS,
    ),
    Panel(
        "Late mail by pod",
        "By how much the most overdue message of each pod is late.",
        (Query(metric("queue_lateness_seconds", ONE), "{{pod}}"),),
        Unit.SECONDS,
        runbook="SmtpGatewayMailLate",
        thresholds=(Threshold(600, BAD),),
    ),
    heatmap(
        "Delivered after",
        "Time from acceptance to delivery. The colour says how many deliveries a second.",
        buckets("delivery_age_seconds", ONE),
    ),
    Panel(
        "Delivered after, by route",
        "Below what half and 99 of a hundred deliveries of each route stayed.",
        tuple(Query(quantile(share, "delivery_age_seconds", ONE, "route"), f"{{{{route}}}} {name}") for share, name in QUANTILES),
        Unit.SECONDS,
        width=HALF,
        nothing="none",
    ),
    heatmap(
        "An attempt takes",
        "Time of delivery attempts, whatever came of them. The colour says how many attempts a second.",
        buckets("attempt_seconds", ONE),
    ),
    Panel(
        "An attempt takes, by route",
        "Below what half and 99 of a hundred attempts of each route stayed: a next hop that becomes slow is seen here first.",
        tuple(Query(quantile(share, "attempt_seconds", ONE, "route"), f"{{{{route}}}} {name}") for share, name in QUANTILES),
        Unit.SECONDS,
        width=HALF,
        nothing="none",
    ),
    Panel(
        "Under TLS",
        "Recipients whose mail went to the next hop under TLS, a minute, by version and whether its certificate was verified.",
        (Query(happened("route, version, verified", "encrypted_recipients_total", ONE), "{{route}} {{version}} verified: {{verified}}"),),
        Unit.PER_MINUTE,
    ),
    Panel(
        "Notices to senders",
        "Notices that were due, a minute, by kind and what became of them: docs/bounces.md.",
        (Query(happened("kind, fate", "notices_total", ONE), "{{kind}} {{fate}}"),),
        Unit.PER_MINUTE,
    ),
    Panel(
        "Smarthosts",
        "Whether each pod could send through each smarthost, by its last probe.",
        (Query(f"min by (pod, route, host, port) ({metric('upstream_up', ONE)})", "{{pod}} {{route}} {{host}}:{{port}}"),),
        Unit.STATE,
        Look.STATES,
        runbook="SmtpGatewayUpstreamUnreachable",
        states=(State(0, "down", BAD), State(1, "up", GOOD)),
    ),
    Panel(
        "Last through to smarthosts",
        "How long ago a probe of each smarthost last came through.",
        (
            Query(
                f"time() - max by (route, host, port) ({metric('upstream_last_success_timestamp_seconds', ONE)})",
                "{{route}} {{host}}:{{port}}",
            ),
        ),
        Unit.SECONDS,
        width=HALF,
        runbook="SmtpGatewayUpstreamUnreachable",
        nothing="none ever",
    ),
    Panel(
        "Why smarthosts are down",
        "What the last probe failed by, in one word; docs/admin-api.md says what each means. The number of pods is in the last column.",
        (Query(f"count by (route, host, port, credentials, cause) ({metric('upstream_failure', ONE)})"),),
        Unit.COUNT,
        Look.TABLE,
        HALF,
        runbook="SmtpGatewayCredentialsRefused",
        nothing="none is down",
    ),
)

PACE = (
    Panel(
        "Waiting for their pace",
        "Messages that are due, and wait because their route gives its next hop no more at a time.",
        (Query(total("route", metric("paced_messages", ONE)), "{{route}}"),),
        Unit.COUNT,
    ),
    Panel(
        "Pace",
        "Messages a second that the pods may give each route now, all together. It falls where a next hop asks for less.",
        (Query(total("route", metric("pace_messages_per_second", ONE)), "{{route}}"),),
        Unit.PER_SECOND,
        nothing="none has a pace",
    ),
    Panel(
        "Asked for less",
        "Answers by which next hops asked for less, a minute, and the destinations that are given less now: docs/pacing.md.",
        (
            Query(per_minute("route", "throttles_total", ONE), "{{route}} answers, a minute"),
            Query(total("route", metric("throttled_destinations", ONE)), "{{route}} destinations"),
        ),
        Unit.COUNT,
    ),
)
