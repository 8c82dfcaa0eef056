"""The CRD that the models produce: structural, described, bounded, and what the example shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from smtp_gateway.config.crd import custom_resource_definition
from smtp_gateway.config.resource import SmtpGateway
from smtp_gateway.config.rules import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Iterator

Field = tuple[str, dict[str, Any]]
PRESERVED = {".podTemplate.affinity"}
"""Fields that Kubernetes judges when the operator uses them."""
STRING = re.compile(r"'(?:\\.|[^'\\])*'(?=[ ),\]]|$)")
"""A string of CEL, and what may follow one in our rules."""
EXAMPLES = sorted(Path("examples").glob("*.yaml"))


def version() -> dict[str, Any]:
    """Return the CRD's only version."""
    (version,) = custom_resource_definition()["spec"]["versions"]
    schema: dict[str, Any] = version
    return schema


def fields(schema: dict[str, Any], path: str = "") -> Iterator[Field]:
    """Yield every field below *schema* with its path."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(field, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], path)


def spec_fields() -> list[Field]:
    """Return every field of the spec."""
    return list(fields(version()["schema"]["openAPIV3Schema"]["properties"]["spec"]))


def status_fields() -> list[Field]:
    """Return every field of the status."""
    return list(fields(version()["schema"]["openAPIV3Schema"]["properties"]["status"]))


@pytest.mark.parametrize("field", spec_fields() + status_fields(), ids=lambda field: field[0])
def test_every_field_is_described_and_typed(field: Field) -> None:
    """`kubectl explain` has a sentence for every field, and the schema is structural."""
    path, schema = field

    assert len(schema.get("description", "")) > 10, path
    assert schema.get("type") in {"string", "integer", "boolean", "object", "array"}, path
    assert not {"anyOf", "$ref", "title"} & set(schema), path


@pytest.mark.parametrize("field", spec_fields(), ids=lambda field: field[0])
def test_every_field_of_the_spec_is_bounded(field: Field) -> None:
    """Strings have a longest length or are enumerated, lists a largest number, integers a range: no resource is endless."""
    path, schema = field
    kind = schema["type"]

    if kind == "string":
        assert "maxLength" in schema or "enum" in schema, path
    if kind == "array":
        assert "maxItems" in schema, path
    if kind == "integer":
        assert {"minimum", "maximum"} <= set(schema), path
    if kind == "object" and "properties" not in schema and path not in PRESERVED:
        assert "maxProperties" in schema, path
        assert {"maxLength", "pattern"} & set(schema["additionalProperties"]), path


def test_what_is_preserved_is_known() -> None:
    """Only what is large in Kubernetes itself is handed on unread."""
    assert {path for path, schema in spec_fields() if "x-kubernetes-preserve-unknown-fields" in schema} == PRESERVED


def values(value: Any) -> Iterator[Any]:
    """Yield every value within *value*, itself included."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from values(inner)


@pytest.mark.parametrize("field", spec_fields(), ids=lambda field: field[0])
def test_no_default_holds_a_null(field: Field) -> None:
    """The API server refuses a CRD whose default says null where a string or an object belongs."""
    path, schema = field

    assert None not in list(values(schema.get("default", ""))), path


def present(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every field that *value* sets."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}.{name}"
            yield from present(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from present(inner, path)


def gateways_in(path: Path) -> list[Any]:
    """Return the resources in an example."""
    return [one for one in yaml.safe_load_all(path.read_text()) if one["kind"] == "SmtpGateway"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_each_example_is_valid(path: Path) -> None:
    """Whoever copies one begins with something that works."""
    for example in gateways_in(path):
        SmtpGateway.model_validate(example)


def test_the_examples_show_every_field() -> None:
    """`examples/everything.yaml` sets each field that there is, but for one that excludes another: that is in an example of its own."""
    shown = {path: {name for example in gateways_in(path) for name in present(example["spec"])} for path in EXAMPLES}
    known = {path for path, _ in spec_fields()}

    assert known - set().union(*shown.values()) == set()
    assert {one for one in known - shown[Path("examples/everything.yaml")] if not one.startswith(".tls.certManager")} == set()


def test_every_string_of_a_rule_ends() -> None:
    """CEL's strings end at an apostrophe, and the API server would refuse the whole CRD for one within a pattern."""
    rules = [rule["rule"] for schema in values(version()["schema"]) if isinstance(schema, dict) for rule in schema.get(EXTENSION, ())]

    assert len(rules) > 50
    assert [rule for rule in rules if "'" in STRING.sub("", rule)] == []


def test_the_scale_subresource_names_real_fields() -> None:
    """An autoscaler finds replicas and selector where the CRD says they are."""
    scale = version()["subresources"]["scale"]
    known = {f".spec{path}" for path, _ in spec_fields()} | {f".status{path}" for path, _ in status_fields()}

    assert set(scale.values()) <= known
