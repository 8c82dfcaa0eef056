"""The last word of a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway import termination
from smtp_gateway.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_why_a_gateway_cannot_run_is_left_for_the_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence of standard error is in the file that Kubernetes mounted."""
    mounted = tmp_path / "termination-log"
    mounted.touch()
    monkeypatch.setattr(termination.leave, "__defaults__", (mounted,))

    assert main(["run", "--config", str(tmp_path / "missing"), "--tls", str(tmp_path)]) == 1
    assert str(tmp_path / "missing") in mounted.read_text()


def test_where_nothing_is_mounted_nothing_is_made(tmp_path: Path) -> None:
    """Outside of a pod there is nobody to read it."""
    termination.leave("a sentence", tmp_path / "termination-log")
    termination.leave("a sentence", tmp_path)

    assert not list(tmp_path.iterdir())
