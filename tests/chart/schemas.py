"""JSON schemas for kubeconform, which fetches them from a site of its own otherwise: made of what the API servers themselves publish.

Those of Kubernetes come from the OpenAPI documents in the module that the lab's API server is built from; those of custom resources from
their definitions. As in the collections that kubeconform knows, a field that is in no schema is an error.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.go_modules import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCATION = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
"""Where kubeconform looks for the schema of a kind. A core kind's group is its version there."""
OUR_DEFINITION = Path("crds/smtpgateways.yaml")
MONITORING = ("podmonitors", "servicemonitors", "prometheusrules")
_REFERENCE = re.compile(r'"#/components/schemas/([^"]+)"')


def write(folder: Path) -> None:
    """Write the schema of every kind of Kubernetes, of the Prometheus Operator, and of our own below *folder*."""
    for apis in sorted(openapi().glob("api*__v1_openapi.json")):
        for (group, version, kind), schema in kinds(strict(json.loads(apis.read_text())["components"]["schemas"])):
            _write(folder / (group or version) / f"{kind.lower()}_{version}.json", schema)
    for path in definitions():
        definition = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]
        for version in definition["versions"]:
            name = f"{definition['names']['kind'].lower()}_{version['name']}.json"
            _write(folder / definition["group"] / name, strict(version["schema"]["openAPIV3Schema"]))


def definitions() -> Iterator[Path]:
    """Yield the definitions of the custom resources that the chart and the examples use."""
    theirs = unpacked("prometheus-operator", "github.com/prometheus-operator/prometheus-operator") / "example" / "prometheus-operator-crd"
    for name in MONITORING:
        yield theirs / f"monitoring.coreos.com_{name}.yaml"
    yield OUR_DEFINITION


def openapi() -> Path:
    """Return the folder of the OpenAPI documents of the lab's version of Kubernetes."""
    return unpacked("kube", "k8s.io/kubernetes") / "api" / "openapi-spec" / "v3"


def kinds(schemas: dict[str, Any]) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
    """Yield group, version and kind, with a schema that needs no other document, for each kind of an OpenAPI document but lists."""
    referred = {name: set(_REFERENCE.findall(json.dumps(schema))) for name, schema in schemas.items()}
    for name, schema in schemas.items():
        for of in schema.get("x-kubernetes-group-version-kind", ()):
            if not of["kind"].endswith("List"):
                needed = {one: schemas[one] for one in _reachable(name, referred)}
                yield (of["group"], of["version"], of["kind"]), {"$ref": f"#/components/schemas/{name}", "components": {"schemas": needed}}


def _reachable(name: str, referred: dict[str, set[str]]) -> set[str]:
    found, unseen = {name}, [name]
    while unseen:
        new = referred[unseen.pop()] - found
        found |= new
        unseen += new
    return found


def strict(schema: Any) -> Any:
    """Return *schema* with every object closed that lists its fields, unless it says that it keeps others."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def _write(path: Path, schema: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(schema))
