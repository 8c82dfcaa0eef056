"""What every tier shares: the detector of blocked event loops, and that nothing is skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockBuster, BlockBusterFunction

if TYPE_CHECKING:
    from collections.abc import Iterator


OURS = ["smtp_gateway", "smtp_gateway_operator"]
"""Only what our code calls is judged; what a library does before it gets to us is its own affair."""
MEANT = "sqlite3."
"""SQLite without a sync works on memory and page cache: running its statements in the loop is a decision (DESIGN, spool)."""
ALSO_BLOCKING = ("os.fsync", "os.fdatasync", "hashlib.scrypt")
"""Calls that the detector does not know and that must never run in the loop."""


def _detector() -> BlockBuster:
    detector = BlockBuster(scanned_modules=OURS)
    detector.functions = {name: function for name, function in detector.functions.items() if not name.startswith(MEANT)}
    for name in ALSO_BLOCKING:
        detector.functions[name] = BlockBusterFunction(None, name, scanned_modules=OURS)
    return detector


@pytest.fixture(autouse=True)
def loop_block_detector(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which a coroutine blocks the event loop."""
    if request.node.get_closest_marker("allow_blocking"):
        yield
        return
    detector = _detector()
    detector.activate()
    try:
        yield
    finally:
        detector.deactivate()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that skipped a test: what was not run was not shown."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
