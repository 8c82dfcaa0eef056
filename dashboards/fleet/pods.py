"""What does the work: pods and the operator."""

from __future__ import annotations

from dashboards.panels import BAD, GOOD, Look, Panel, Query, State, Threshold, Unit
from dashboards.promql import FLEET, OPERATOR, metric

DAY = 86400

PODS = (
    Panel(
        "Room in spools",
        "What new mail may still use of each pod's volume. Below a fifth there is an alert; at 0 new mail is answered 452.",
        (Query(f"{metric('spool_free_bytes', FLEET)} / {metric('spool_volume_bytes', FLEET)}", "{{namespace}}/{{pod}}"),),
        Unit.SHARE,
        runbook="SmtpGatewaySpoolFilling",
        base=BAD,
        thresholds=(Threshold(0.2, GOOD),),
    ),
    Panel(
        "Certificates expire in",
        "Until the certificate in force on each pod expires.",
        (Query(f"{metric('certificate_expiration_timestamp_seconds', FLEET)} - time()", "{{namespace}}/{{pod}}"),),
        Unit.SECONDS,
        runbook="SmtpGatewayCertificateExpiring",
        base=BAD,
        thresholds=(Threshold(7 * DAY, GOOD),),
    ),
    Panel(
        "Configuration",
        "Whether each pod could load the newest configuration that it was given.",
        (Query(metric("config_last_load_successful", FLEET), "{{namespace}}/{{pod}}"),),
        Unit.STATE,
        Look.STATES,
        runbook="SmtpGatewayConfigurationOutdated",
        states=(State(0, "refused", BAD), State(1, "in force", GOOD)),
    ),
)

WORK = (
    Panel(
        "Reconciles",
        "How many reconciles ended, a minute, by their result.",
        (Query("60 * sum by (result) (rate(smtp_gateway_operator_reconcile_total[$__rate_interval]))", "{{result}}"),),
        Unit.PER_MINUTE,
        runbook="SmtpGatewayOperatorFailing",
    ),
    Panel(
        "Reconciles take",
        "How long half of them, and all but one in a hundred, took at most.",
        tuple(
            Query(
                f"histogram_quantile({share}, sum by (le) (rate(smtp_gateway_operator_reconcile_duration_seconds_bucket[$__rate_interval])))",
                name,
            )
            for share, name in ((0.5, "half"), (0.99, "99 of 100"))
        ),
        Unit.SECONDS,
        nothing="none ended",
    ),
    Panel(
        "Gateways",
        "Whether each SmtpGateway is Ready.",
        (Query(metric("operator_resource_ready", OPERATOR), "{{name}}"),),
        Unit.STATE,
        Look.STATES,
        runbook="SmtpGatewayNotReady",
        states=(State(0, "not Ready", BAD), State(1, "Ready", GOOD)),
    ),
    Panel(
        "Gateways that wait for a worker",
        "The operator's work queue. It is empty but for moments; what stays in it is put off again and again.",
        (Query("sum(smtp_gateway_operator_queue_depth)", "waiting"),),
        Unit.COUNT,
        runbook="SmtpGatewayOperatorFailing",
    ),
    Panel(
        "Answers to watches",
        "How long ago the API server last answered each watch of the operator.",
        (Query("time() - max by (resource) (smtp_gateway_operator_watch_last_answer_timestamp_seconds)", "{{resource}}"),),
        Unit.SECONDS,
        runbook="SmtpGatewayWatchStale",
        thresholds=(Threshold(900, BAD),),
    ),
    Panel(
        "Changes that no watch told",
        "Changes that a resync found first, within an hour: the watches lose something.",
        (Query("sum by (resource) (increase(smtp_gateway_operator_watch_missed_total[1h]))", "{{resource}}"),),
        Unit.COUNT,
        runbook="SmtpGatewayWatchStale",
    ),
)
