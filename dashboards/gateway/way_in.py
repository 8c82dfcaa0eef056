"""The way in: from the connection to the spool, and who sends."""

from __future__ import annotations

from dashboards.panels import HALF, WATCH, Panel, Query, Threshold, Unit, heatmap
from dashboards.promql import ONE, buckets, happened, metric, per_minute, quantile, rate, total

QUANTILES = ((0.5, "half"), (0.9, "9 of 10"), (0.99, "99 of 100"))

WAY_IN = (
    Panel(
        "Messages accepted by listener",
        "Messages made durable, a minute.",
        (Query(per_minute("listener", "accepted_messages_total", ONE), "{{listener}}"),),
        Unit.PER_MINUTE,
        stacked=True,
    ),
    Panel(
        "Octets accepted by listener",
        "Octets of accepted messages, a second.",
        (Query(total("listener", rate("accepted_bytes_total", ONE)), "{{listener}}"),),
        Unit.BYTES_PER_SECOND,
    ),
    Panel(
        "Sessions by listener",
        "SMTP sessions that are open, and how many began, a minute.",
        (
            Query(total("listener", metric("open_sessions", ONE)), "{{listener}} open"),
            Query(per_minute("listener", "sessions_total", ONE), "{{listener}} began, a minute"),
        ),
        Unit.COUNT,
    ),
    heatmap(
        "Accepting takes",
        "From the end of a message to its 250: policy, and the commit of the spool. The colour says how many messages a second.",
        buckets("accept_seconds", ONE),
    ),
    Panel(
        "Accepting takes, by listener",
        "Below what nine of ten messages of each listener stayed, and all but one in a hundred.",
        tuple(Query(quantile(share, "accept_seconds", ONE, "listener"), f"{{{{listener}}}} {name}") for share, name in QUANTILES[1:]),
        Unit.SECONDS,
        width=HALF,
        runbook="SmtpGatewayMailPostponed",
        thresholds=(Threshold(1, WATCH),),
        nothing="none accepted",
    ),
    Panel(
        "TLS of sessions",
        "Sessions that came under TLS, a minute, by version. TLS 1.2 is what old clients speak.",
        (Query(per_minute("listener, version", "tls_sessions_total", ONE), "{{listener}} {{version}}"),),
        Unit.PER_MINUTE,
    ),
    Panel(
        "Handshakes that failed",
        "TLS handshakes that failed, a minute; docs/certificates.md has the reasons.",
        (Query(happened("listener, reason", "tls_handshake_failures_total", ONE), "{{listener}} {{reason}}"),),
        Unit.PER_MINUTE,
    ),
    Panel(
        "Logins",
        "AUTH exchanges, a minute, by mechanism and result.",
        (Query(happened("mechanism, result", "authentications_total", ONE), "{{mechanism}} {{result}}"),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayAuthenticationFailures",
    ),
    Panel(
        "Refused commands",
        "Commands answered with a 4yz or 5yz code, a minute.",
        (Query(happened("listener, command, code", "refusals_total", ONE), "{{listener}} {{command}} {{code}}"),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayMailRefused",
    ),
    Panel(
        "Failed logins",
        "AUTH exchanges that gave no login, a minute, by reason.",
        (Query(happened("mechanism, reason", "authentication_failures_total", ONE), "{{mechanism}} {{reason}}"),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayAuthenticationFailures",
    ),
    Panel(
        "Connections turned away",
        "Connections that were closed without a session, a minute; docs/connections.md has the reasons.",
        (Query(happened("listener, reason", "refused_connections_total", ONE), "{{listener}} {{reason}}"),),
        Unit.PER_MINUTE,
    ),
)

SPOOL = (
    heatmap(
        "A commit takes",
        "Time until a commit of the spool was durable. The colour says how many commits a second. A disk that is slow here makes all clients wait.",
        buckets("spool_sync_seconds", ONE),
    ),
    Panel(
        "A commit takes, at most",
        "Below what half, nine of ten and 99 of a hundred commits stayed.",
        tuple(Query(quantile(share, "spool_sync_seconds", ONE), name) for share, name in QUANTILES),
        Unit.SECONDS,
        width=HALF,
        thresholds=(Threshold(0.5, WATCH),),
        nothing="none",
    ),
    Panel(
        "Messages in a commit",
        "How many messages one sync made durable, on average: clients that send at the same time share it. Below one where most commits settle what was delivered.",
        (Query(f"{total('', rate('spool_synced_messages_total', ONE))} / {total('', rate('spool_sync_seconds_count', ONE))}", "messages"),),
        Unit.COUNT,
        nothing="none",
    ),
    Panel(
        "Spool",
        "What the mail in each pod's spool takes, and what new mail may still use.",
        (
            Query(metric("spool_used_bytes", ONE), "{{pod}} used"),
            Query(metric("spool_free_bytes", ONE), "{{pod}} free"),
        ),
        Unit.BYTES,
        runbook="SmtpGatewaySpoolFilling",
    ),
    Panel(
        "Mail not taken",
        "Messages that the spool could not make durable, a minute: their clients keep them.",
        (Query(happened("pod, listener, code", "postponed_messages_total", ONE), "{{pod}} {{listener}} {{code}}"),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayMailPostponed",
    ),
)

WHO = (
    Panel(
        "Accepted by identity",
        "Recipients accepted, a minute. An identity is the Secret of a login, or the listener of who has none.",
        (Query(per_minute("identity", "accepted_recipients_total", ONE), "{{identity}}"),),
        Unit.PER_MINUTE,
        stacked=True,
    ),
    Panel(
        "Delivered by identity",
        "Recipients that next hops took, a minute, by who sent to them.",
        (Query(per_minute("identity", "delivered_recipients_total", ONE), "{{identity}}"),),
        Unit.PER_MINUTE,
        stacked=True,
    ),
    Panel(
        "Deferred and bounced by identity",
        "Recipients that were put off or failed for good, a minute: whose addresses are bad.",
        (
            Query(per_minute("identity", "deferred_recipients_total", ONE), "{{identity}} deferred"),
            Query(per_minute("identity", "bounced_recipients_total", ONE), "{{identity}} bounced"),
        ),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayBounces",
    ),
)
