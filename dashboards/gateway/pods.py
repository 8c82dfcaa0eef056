"""The pods of one gateway."""

from __future__ import annotations

from dashboards.panels import GOOD, WATCH, Look, Panel, Query, State, Threshold, Unit
from dashboards.promql import ONE, OPERATOR, metric, rate

PODS = (
    Panel(
        "Memory",
        "Memory of each pod's process.",
        (Query(metric("process_resident_memory_bytes", ONE), "{{pod}}"),),
        Unit.BYTES,
    ),
    Panel(
        "Processor",
        "Processor time of each pod's process, as a share of one core. A pod uses one: more pods take more mail.",
        (Query(rate("process_cpu_seconds_total", ONE), "{{pod}}"),),
        Unit.SHARE,
        thresholds=(Threshold(0.9, WATCH),),
    ),
    Panel(
        "Running for",
        "How long ago each pod's process started.",
        (Query(f"time() - {metric('start_time_seconds', ONE)}", "{{pod}}"),),
        Unit.SECONDS,
    ),
    Panel(
        "Taking mail",
        "Whether each pod takes new mail, or drains.",
        (Query(metric("draining", ONE), "{{pod}}"),),
        Unit.STATE,
        Look.STATES,
        states=(State(0, "takes mail", GOOD), State(1, "drains", WATCH)),
    ),
    Panel(
        "Configuration of each pod",
        "The hash of the configuration in force on each pod, and, with its generation, that of the newest one: a pod with another has not taken it over.",
        (
            Query(f"count by (pod, hash) ({metric('config_info', ONE)})"),
            Query(f"count by (name, generation, hash) ({metric('operator_resource_config_info', OPERATOR)})"),
        ),
        Unit.COUNT,
        Look.TABLE,
        runbook="SmtpGatewayConfigurationOutdated",
        nothing="none",
    ),
    Panel(
        "Version of each pod",
        "What runs.",
        (Query(f"count by (pod, version) ({metric('build_info', ONE)})"),),
        Unit.COUNT,
        Look.TABLE,
        nothing="none",
    ),
)
