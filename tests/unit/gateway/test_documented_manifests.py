"""Manifests in the documentation are ones that the API server would take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from smtp_gateway.config.resource import KIND, SmtpGateway

BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def manifests() -> list[tuple[str, dict[str, Any]]]:
    """Return what the pages show of gateways, each under a name that says where."""
    return [
        (f"{page.name} {number}", document)
        for page in (Path("README.md"), *sorted(Path("docs").rglob("*.md")))
        for number, block in enumerate(BLOCK.findall(page.read_text()), 1)
        for document in yaml.safe_load_all(block)
        if isinstance(document, dict) and (document.get("kind") == KIND or set(document) == {"spec"})
    ]


@pytest.mark.parametrize(("where", "manifest"), manifests())
def test_what_the_documentation_shows_is_valid(where: str, manifest: dict[str, Any]) -> None:
    """A whole resource, or a part of a spec to which only the host name is missing."""
    spec = {"hostname": "mail.example.com"} | manifest["spec"]

    assert SmtpGateway.model_validate({"metadata": {"name": "mail"}} | manifest | {"spec": spec}), where
