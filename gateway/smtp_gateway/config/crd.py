"""The CustomResourceDefinition, produced from the models: `python -m smtp_gateway.config.crd FILE ...` writes it.

Kubernetes wants a structural schema: no references, no titles, no `additionalProperties: false` (the API server refuses or prunes
unknown fields by itself) but for the values of a map, no `anyOf` for what may be absent. A value of a CEL rule has to be bounded, or the rule's cost is refused.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from smtp_gateway.config.observed import Status
from smtp_gateway.config.resource import GROUP, KIND, NAME_RULE, PLURAL, SPEC_RULES, VERSION, SmtpGateway, Spec
from smtp_gateway.config.rules import EXTENSION

DROPPED = ("title", "$defs", "examples", "const", "propertyNames")
COLUMNS = (
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Replicas", "type": "integer", "jsonPath": ".status.readyReplicas", "description": "Pods that accept mail"},
    {"name": "Queue", "type": "integer", "jsonPath": ".status.queue.messages", "description": "Messages that wait"},
    {"name": "Oldest", "type": "date", "jsonPath": ".status.queue.oldestMessageTime", "description": "Age of the oldest of them"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Upstream", "type": "string", "jsonPath": '.status.conditions[?(@.type=="UpstreamReachable")].reason', "priority": 1},
    {"name": "Certificate", "type": "string", "jsonPath": '.status.conditions[?(@.type=="CertificateValid")].reason', "priority": 1},
    {"name": "Message", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].message', "priority": 1},
)
HEADER = "# Produced from the models in gateway/smtp_gateway/config/resource/ by `make crds`; edit those instead.\n"


def custom_resource_definition() -> dict[str, Any]:
    """Return the CRD of `SmtpGateway` as a Kubernetes object."""
    names = {
        "kind": KIND,
        "listKind": f"{KIND}List",
        "plural": PLURAL,
        "singular": KIND.lower(),
        "shortNames": ["smtpgw"],
        "categories": ["mail"],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _resource_schema()},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [dict(column) for column in COLUMNS],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _resource_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "description": _paragraph(SmtpGateway.__doc__),
        "required": ["spec"],
        EXTENSION: [{"rule": NAME_RULE.cel, "message": NAME_RULE.message}],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": KIND},
            "metadata": {"type": "object"},
            "spec": structural(Spec.model_json_schema())
            | {EXTENSION: [{"rule": rule.cel, "message": rule.message} for rule in SPEC_RULES]},
            "status": structural(Status.model_json_schema()),
        },
    }


def structural(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON schema of pydantic's as a structural one of Kubernetes'."""
    plain: dict[str, Any] = _structural(schema, schema.get("$defs", {}))
    return plain


def _structural(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_structural(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = _resolved(schema, definitions)
    plain = {key: value for key, value in schema.items() if key not in DROPPED}
    if "default" in plain:
        plain["default"] = _without_nulls(plain["default"])
        if plain["default"] is None:
            del plain["default"]
    if "properties" in plain:
        plain["properties"] = {name: _structural(value, definitions) for name, value in plain["properties"].items()}
    if "items" in plain:
        plain["items"] = _structural(plain["items"], definitions)
    if isinstance(plain.get("additionalProperties"), dict):  # a map's values
        plain["additionalProperties"] = _structural(plain["additionalProperties"], definitions)
    else:
        plain.pop("additionalProperties", None)
    if "description" in plain:
        plain["description"] = _paragraph(plain["description"])
    return plain


def _without_nulls(value: Any) -> Any:
    """Leave out of a default what is absent by default: to a structural schema null is a value, and a wrong one."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(inner) for inner in value]
    return value


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Put the referenced or only alternative in the place of a `$ref`, an `allOf` or an `anyOf` with null; what stands beside wins."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
    elif "anyOf" in schema:
        (target,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
    else:
        return schema
    beside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf")}
    target = _resolved(target, definitions)
    merged = target | beside
    if EXTENSION in target and EXTENSION in beside:
        merged[EXTENSION] = target[EXTENSION] + beside[EXTENSION]
    return merged


def _paragraph(text: str | None) -> str:
    return " ".join((text or "").split())


class _Dumper(yaml.SafeDumper):
    """Writes out what occurs twice, without anchors: people read the file, and some tools do not follow them."""

    def ignore_aliases(self, data: Any) -> bool:
        """Say that nothing is an alias."""
        return data is not None


def main() -> None:
    """Write the CRD to each file named on the command line."""
    text = yaml.dump(custom_resource_definition(), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    for path in sys.argv[1:]:
        Path(path).write_text(HEADER + text)


if __name__ == "__main__":
    main()
