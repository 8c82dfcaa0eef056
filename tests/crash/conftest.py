"""What the tests of the disk's spool share, and what they counted, which is printed at the end of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.spool import syncing

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the format of the log out of these tests."""
    with capture_logs():
        yield


@pytest.fixture(autouse=True)
def syncs_by_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a thread make the syncs of this process, where a test can watch and fail them. Who is killed at random has the kernel make them."""
    monkeypatch.setattr(syncing, "CALLS", {})


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Sentences for the end of the run."""
    return pytestconfig.stash.setdefault(_FIGURES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print them, whether the tests passed or not."""
    for sentence in config.stash.get(_FIGURES, []):
        terminalreporter.write_line(sentence)
