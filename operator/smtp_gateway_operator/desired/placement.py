"""What `spec.podTemplate` adds to the pods: resources, placement, labels and annotations.

What is not said is left out, so that the API server's defaults and those of admission plug-ins hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smtp_gateway_operator.names import Owner
    from smtp_gateway_operator.spec import PodTemplate, Spread, Toleration


def pod_metadata(owner: Owner, template: PodTemplate, own: Mapping[str, str]) -> dict[str, Any]:
    """Return the metadata of the pods: the operator's labels win, the user's annotations win over the *own* ones."""
    return {"labels": template.labels | names.pod_labels(owner.name), "annotations": {**own, **template.annotations}}


def placement(owner: Owner, template: PodTemplate) -> dict[str, Any]:
    """Return the fields of the pods' spec that say where they run, and what their image is pulled with."""
    fields = {
        "nodeSelector": template.node_selector,
        "tolerations": [_toleration(one) for one in template.tolerations],
        "affinity": template.affinity,
        "topologySpreadConstraints": [_spread(owner, one) for one in template.topology_spread_constraints],
        "priorityClassName": template.priority_class_name,
        "imagePullSecrets": [{"name": one.name} for one in template.image_pull_secrets],
    }
    return {name: value for name, value in fields.items() if value}


def resources(template: PodTemplate) -> dict[str, Any]:
    """Return the resources of the gateway's container."""
    fields = {"requests": template.resources.requests, "limits": template.resources.limits}
    return {name: dict(amounts) for name, amounts in fields.items() if amounts}


def _toleration(one: Toleration) -> dict[str, Any]:
    said: dict[str, Any] = one.model_dump(mode="json", by_alias=True, exclude_none=True)
    return said


def _spread(owner: Owner, one: Spread) -> dict[str, Any]:
    """Count the gateway's own pods: a constraint without a selector counts none, and does nothing."""
    return one.model_dump(mode="json", by_alias=True, exclude_none=True) | {"labelSelector": {"matchLabels": names.selector(owner.name)}}
