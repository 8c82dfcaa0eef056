"""The kustomize base: what the chart renders, with the custom resource definition, in whichever namespace an overlay names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.chart import kustomize
from tests.chart.test_chart import NOBODY_ELSE, of_kind, render
from tests.lab.provider import connect
from tests.support.kube import run

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = Path("charts/kustomize")
OVERLAY = Path("examples/kustomize")


def built(folder: Path) -> str:
    """Return what kubectl makes of a kustomization."""
    return run([str(connect().kubectl), "kustomize", str(folder)])


def objects(folder: Path) -> list[dict[str, Any]]:
    """Return the objects of a kustomization."""
    return list(yaml.safe_load_all(built(folder)))


def operator_in(folder: Path) -> dict[str, Any]:
    """Return the operator's container."""
    (deployment,) = of_kind(objects(folder), "Deployment")
    container: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return container


def test_the_base_is_what_the_chart_renders_now() -> None:
    """A change of the chart is a change of the base: `make kustomize` makes it."""
    assert (BASE / "operator.yaml").read_text() == kustomize.base()


@pytest.mark.parametrize("folder", [BASE, OVERLAY], ids=str)
def test_every_object_conforms(conform: Callable[[str], list[str]], folder: Path) -> None:
    """Kubernetes knows every field of the base, and of the overlay that users copy."""
    assert conform(built(folder)) == []


def test_the_definition_is_the_repositorys() -> None:
    """The custom resource definition comes with the base, as it is in `crds/`."""
    assert of_kind(objects(BASE), "CustomResourceDefinition") == [yaml.safe_load(Path("crds/smtpgateways.yaml").read_text())]


def test_the_operator_has_the_rights_that_the_chart_gives_it() -> None:
    """In its own namespace, and none beyond it."""
    (ours,), (theirs,) = of_kind(objects(BASE), "Role"), of_kind(render(NOBODY_ELSE), "Role")

    assert ours["rules"] == theirs["rules"]
    assert not of_kind(objects(BASE), "ClusterRoleBinding")


def test_everything_follows_the_overlays_namespace_and_images() -> None:
    """The binding's subject too, and the operator's arguments, which take the namespace from the pod."""
    rendered = [one for one in objects(OVERLAY) if one["kind"] not in {"CustomResourceDefinition", "ClusterRole"}]
    (binding,), container = of_kind(rendered, "RoleBinding"), operator_in(OVERLAY)

    assert {one["metadata"]["namespace"] for one in rendered} == {binding["subjects"][0]["namespace"]} == {"mail"}
    assert {"--namespace=$(POD_NAMESPACE)", "--operator-namespace=$(POD_NAMESPACE)"} <= set(container["args"])
    assert kustomize.NAMESPACE not in str(rendered)
    assert container["image"] == "registry.example/smtp-gateway-operator:0.1.0"
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert variables["GATEWAY_IMAGE"] == "registry.example/smtp-gateway:0.1.0"
    assert variables.keys() == {"POD_UID", "POD_NAMESPACE", "GATEWAY_IMAGE"}
