"""The pods: what they may use, where they run, and what others find them by.

What is small is typed here. What is large in Kubernetes (affinity) is handed on as it is, and the API server judges it when the
operator applies the pods: its sentence is then in the condition Progressing, reason Rejected.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from smtp_gateway.config.habits import Model
from smtp_gateway.config.resource.words import Annotations, ClassName, Labels, SecretReference

_AMOUNT = r"^[0-9]{1,12}(\.[0-9]{1,3})?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
_PRESERVED = {"x-kubernetes-preserve-unknown-fields": True}
"""Kubernetes' own schema of an affinity is some 900 lines, and grows with its releases: a copy would refuse what a newer server knows."""

Amount = Annotated[
    Annotated[int, Field(ge=0)] | Annotated[str, Field(max_length=20, pattern=_AMOUNT)],
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": _AMOUNT}),
]
"""An amount of a resource (apimachinery resource.Quantity, without exponents): people write `cpu: 1` as often as `cpu: 500m`."""
Amounts = Annotated[dict[Annotated[str, Field(max_length=317)], Amount], Field(max_length=16)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]


class Resources(Model):
    """What the gateway's container requests and may use."""

    requests: Amounts = Field(default={}, description="What a node must have left for a pod to run on it, such as cpu and memory.")
    limits: Amounts = Field(default={}, description="What the container may use at most.")


class Effect(StrEnum):
    """What a taint does."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint of nodes that does not keep the pods away."""

    key: LabelKey | None = Field(default=None, description="Key of the taint; every taint when absent, with operator Exists.")
    operator: Literal["Equal", "Exists"] = Field(default="Equal", description="Whether the taint's value must be equal, or any.")
    value: LabelValue | None = Field(default=None, description="Value of the taint, with operator Equal.")
    effect: Effect | None = Field(default=None, description="Effect of the taint; every effect when absent.")
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = Field(
        default=None, description="How long a pod stays after a taint of effect NoExecute appeared; for ever when absent."
    )


class Spread(Model):
    """How evenly the pods are spread over nodes or zones. It counts the gateway's own pods."""

    max_skew: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="By how many pods two domains may differ.")
    topology_key: LabelKey = Field(
        description="Label of nodes that names the domain: kubernetes.io/hostname for nodes, topology.kubernetes.io/zone for zones."
    )
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = Field(
        default="ScheduleAnyway", description="What happens to a pod that cannot be placed evenly: it waits, or runs all the same."
    )
    min_domains: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="How many domains there should be at least, with DoNotSchedule; as many as there are when absent."
    )
    node_affinity_policy: Literal["Honor", "Ignore"] | None = Field(
        default=None, description="Whether only nodes count that the pods may run on by nodeSelector and affinity; Honor when absent."
    )
    node_taints_policy: Literal["Honor", "Ignore"] | None = Field(
        default=None, description="Whether only nodes count whose taints the pods tolerate; Ignore when absent."
    )


DEFAULT_RESOURCES = Resources(requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "1Gi"})
DEFAULT_SPREAD = (Spread(topology_key="kubernetes.io/hostname"),)


class PodTemplate(Model):
    """What is added to the pods. A change of it restarts them, one by one."""

    annotations: Annotations = Field(default={}, description="Annotations of the pods, such as those that service meshes read.")
    labels: Labels = Field(default={}, description="Labels of the pods, besides the operator's own.")
    resources: Resources = Field(
        default=DEFAULT_RESOURCES,
        description="What a pod requests and may use. It replaces the default as a whole: say requests and limits together.",
    )
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] = Field(
        default={}, description="Labels that a node must have for pods to run on it."
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = Field(
        default=(), description="Taints of nodes that do not keep the pods away.", json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    affinity: Annotated[dict[str, Any], Field(json_schema_extra=_PRESERVED)] | None = Field(
        default=None,
        description="Which nodes and which neighbours the pods prefer or need, as in a pod's spec.affinity. The API server judges it when the pods are applied.",
    )
    topology_spread_constraints: Annotated[tuple[Spread, ...], Field(max_length=8)] = Field(
        default=DEFAULT_SPREAD,
        description="How evenly the pods are spread; over nodes, as far as possible, by default.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["topologyKey", "whenUnsatisfiable"]},
    )
    priority_class_name: ClassName | None = Field(
        default=None, description="PriorityClass of the pods; the cluster's default one when absent."
    )
    image_pull_secrets: Annotated[tuple[SecretReference, ...], Field(max_length=16)] = Field(
        default=(),
        description="Secrets with which the gateway's image is pulled.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
