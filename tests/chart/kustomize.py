"""`python -m tests.chart.kustomize`: the operator for `kubectl apply -k`, made of what the chart renders with its defaults.

Where helm writes a namespace or an image in, a base leaves it to the overlay: namespaces are kustomize's, arguments take them from the
pod, and the gateways' image is a variable that a patch can name.
"""

from __future__ import annotations

from typing import Any

import yaml

from tests.chart.readme import CHART
from tests.lab.provider import connect
from tests.support.kube import run

RELEASE = "smtp-gateway-operator"
NAMESPACE = "smtp-gateway-system"
"""The base's, unless an overlay names another."""
HELMS_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by")
OWN_NAMESPACE = "$(POD_NAMESPACE)"
"""What Kubernetes puts in the place of it is the namespace of the pod."""
HEAD = "# What the chart renders: `make kustomize` writes it. Overlays change it, see README.md.\n"


def base() -> str:
    """Return the objects of the base, a document each."""
    command = [str(connect().helm), "template", RELEASE, str(CHART), f"--namespace={NAMESPACE}", "--skip-tests", "--set=crds.enabled=false"]
    objects = [rebased(one) for one in yaml.safe_load_all(run(command)) if one]
    text: str = yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True, width=140)
    return HEAD + text


def rebased(rendered: dict[str, Any]) -> dict[str, Any]:
    """Return an object of the chart without helm's labels; what all installations share is named after none."""
    metadata = rendered["metadata"]
    if not metadata["name"].startswith(NAMESPACE):
        metadata["namespace"] = NAMESPACE  # which overlays change, in what refers to the object too
    metadata["name"] = metadata["name"].removeprefix(f"{NAMESPACE}-")
    metadata["labels"] = {key: value for key, value in metadata["labels"].items() if key not in HELMS_LABELS}
    if rendered["kind"] == "Deployment":
        _follow(rendered["spec"]["template"]["spec"]["containers"][0])
    return rendered


def _follow(container: dict[str, Any]) -> None:
    """Let the operator serve its pod's namespace, and take the gateways' image from the environment."""
    image = "--gateway-image="
    (gateway,) = [one.removeprefix(image) for one in container["args"] if one.startswith(image)]
    container["args"] = [one.replace(NAMESPACE, OWN_NAMESPACE) for one in container["args"] if not one.startswith(image)]
    container["env"] += [
        {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "GATEWAY_IMAGE", "value": gateway},
    ]


if __name__ == "__main__":
    print(base(), end="")
