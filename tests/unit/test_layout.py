"""The repository's own promises about where things are."""

from __future__ import annotations

import operator
from pathlib import Path

import pytest

import smtp_gateway

LIMIT = 400
"""Lines of the longest module: the house's ceiling."""
SOURCES = sorted(path for root in ("gateway", "operator", "dashboards", "tests", "bench") for path in Path(root).rglob("*.py"))


def test_the_source_roots_are_no_packages() -> None:
    """`operator/` with an `__init__.py` would shadow the standard library's module."""
    assert not Path("operator/__init__.py").exists()
    assert not Path("gateway/__init__.py").exists()
    assert operator.add(1, 1) == 2


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_module_is_one_room(path: Path) -> None:
    """No module is longer than the house allows."""
    assert len(path.read_text().splitlines()) <= LIMIT


def test_the_locked_requirements_name_no_index() -> None:
    """A lock file pins hashes and says nothing about where packages come from."""
    for path in sorted(Path("requirements").glob("*.txt")):
        text = path.read_text()

        assert "--hash=sha256:" in text, path
        assert "://" not in text, path


def test_the_version_is_one() -> None:
    """The package and the chart speak of the same version."""
    version = smtp_gateway.__version__
    chart = Path("charts/smtp-gateway-operator/Chart.yaml").read_text()

    assert f"\nversion: {version}\n" in chart
    assert f"\nappVersion: {version}\n" in chart
