"""The tools that test charts, built when they are missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chart import schemas


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
