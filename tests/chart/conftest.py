"""The tools that test the chart, built when they are missing."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chart import schemas

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def tools() -> Path:
    """Return the folder with helm-unittest and kubeconform."""
    said = subprocess.run([sys.executable, "-m", "tests.lab", "chart-tools"], check=True, capture_output=True, text=True).stdout
    return Path(said.strip())


@pytest.fixture(scope="session")
def known_kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the schema of every kind."""
    folder = tmp_path_factory.mktemp("schemas")
    schemas.write(folder)
    return folder


def faults(tools: Path, known_kinds: Path, manifests: str) -> list[str]:
    """Return what kubeconform says against *manifests*, a sentence each."""
    command = [str(tools / "kubeconform"), "-strict", "-output=json", "-summary", f"-schema-location={known_kinds}/{schemas.LOCATION}"]
    done = subprocess.run(command, input=manifests, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    found = [f"{one['kind']} {one['name']}: {one['msg']}" for one in said.get("resources", [])]
    assert sum(said["summary"].values()) > 0
    assert said["summary"]["skipped"] == 0
    assert bool(done.returncode) == bool(found)
    return found


@pytest.fixture(scope="session")
def conform(tools: Path, known_kinds: Path) -> Callable[[str], list[str]]:
    """Return what asks kubeconform."""
    return partial(faults, tools, known_kinds)
