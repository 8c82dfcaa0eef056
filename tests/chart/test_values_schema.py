"""`values.schema.json`: no key is unknown to it at any depth, and what is Kubernetes' own has Kubernetes' fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.chart import schemas
from tests.chart.readme import CHART
from tests.chart.test_chart import render
from tests.support.kube import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

CORE = "io.k8s.api.core.v1."
KUBERNETES = {
    "resources": f"{CORE}ResourceRequirements",
    "toleration": f"{CORE}Toleration",
    "nodeAffinity": f"{CORE}NodeAffinity",
    "nodeSelectorTerm": f"{CORE}NodeSelectorTerm",
    "podAffinity": f"{CORE}PodAffinity",
    "podAffinityTerm": f"{CORE}PodAffinityTerm",
    "labelSelector": "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector",
    "topologySpreadConstraint": f"{CORE}TopologySpreadConstraint",
    "reference": f"{CORE}SecretKeySelector",
    "variable": f"{CORE}EnvVar",
}
"""Definitions of the schema, and the type of Kubernetes that each is."""
FOR_PARENTS = "#/properties/global"
"""Helm's own: what a chart above this one gives to all of its parts."""


def schema() -> dict[str, Any]:
    """Return the schema."""
    read: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return read


def objects(node: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema of an object, and where it is."""
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield path, node
        for key, value in node.items():
            yield from objects(value, f"{path}/{key}")


def test_no_object_takes_keys_that_it_does_not_know() -> None:
    """Each lists its keys, or says of which type all of their values are."""
    found = dict(objects(schema()))

    assert len(found) > len(KUBERNETES)
    open_ones = [path for path, one in found.items() if one.get("additionalProperties", True) is True]
    assert open_ones == [FOR_PARENTS]


def test_kubernetes_types_have_its_fields() -> None:
    """What the chart hands through to the pod can be said in full, and nothing else can."""
    known = json.loads((schemas.openapi() / "api__v1_openapi.json").read_text())["components"]["schemas"]
    ours = schema()["definitions"]

    for name, of in KUBERNETES.items():
        assert ours[name]["properties"].keys() == known[of]["properties"].keys(), name


@pytest.mark.parametrize(
    "value",
    [
        "resources.limit=1Gi",
        "tolerations[0].keys=dedicated",
        "affinity.nodeAffinity.required=true",
        "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topology=zone",
        "topologySpreadConstraints[0].skew=1",
        "imagePullSecrets[0].secret=pull",
        "extraEnv[0].values=one",
        "test.password=secret",
        "crds.install=true",
    ],
)
def test_an_unknown_key_is_refused_by_its_name(value: str) -> None:
    """A misspelt key is told, however deep it is, instead of meaning nothing."""
    misspelt = value.partition("=")[0].rpartition(".")[2]

    with pytest.raises(CommandError, match=f"additional properties '{misspelt}' not allowed"):
        render(f"--set={value}")
