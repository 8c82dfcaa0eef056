"""What the operator's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.unit.operator.setting import LOGINS, Setting, resource, secret

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """The log records of the test, unrendered."""
    with capture_logs() as records:
        yield records


@pytest.fixture
async def setting() -> Setting:
    """A gateway with one login that nobody has looked at yet."""
    setting = Setting()
    await setting.given(resource(logins=LOGINS), secret("app", alice="wonderland"))
    return setting
