"""How Prometheus finds the pods."""

from __future__ import annotations

from pydantic import Field

from smtp_gateway.config.habits import Model
from smtp_gateway.config.resource.words import Duration, Labels


class PodMonitorSpec(Model):
    """The PodMonitor of a gateway, an object of the Prometheus Operator's."""

    enabled: bool = Field(
        default=False,
        description="Have a PodMonitor made for the pods. Where the Prometheus Operator is not installed nothing is made until it is; the pods' prometheus.io annotations are there in any case.",
    )
    labels: Labels = Field(default={}, description="Labels of the PodMonitor, by which a Prometheus may select it.")
    interval: Duration = Field(default="30s", description="Time between two scrapes.")


class MonitoringSpec(Model):
    """How the pods are monitored."""

    pod_monitor: PodMonitorSpec = Field(
        default=PodMonitorSpec(), description="The PodMonitor by which the Prometheus Operator finds the pods."
    )
