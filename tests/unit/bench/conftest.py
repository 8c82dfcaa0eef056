"""What the tests of the bench share."""

from __future__ import annotations

import pytest

from bench.tools import Tools


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """The bench's tools in a cache of their own, built by Go as the bench does."""
    found = Tools(tmp_path_factory.mktemp("cache"))
    found.prepare()
    return found
