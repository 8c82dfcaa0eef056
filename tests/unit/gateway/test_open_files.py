"""As many open files as the container allows, and a word when that is not enough for the connections there may be."""

from __future__ import annotations

import resource

import pytest
from structlog.testing import capture_logs

from smtp_gateway import foreground


@pytest.mark.parametrize(
    ("soft", "hard", "needed", "told"),
    [(1024, 1_048_576, 1512, []), (1024, 1024, 1512, [1512]), (4096, 4096, 1512, []), (1024, resource.RLIM_INFINITY, 1512, [])],
)
def test_the_limit_is_raised_to_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, needed: int, told: list[int]
) -> None:
    """Only where it is lower, and the log says when it stays too low."""
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    with capture_logs() as logs:
        foreground.open_files(needed - foreground.OTHER_FILES)

    assert set_to == ([] if soft == hard else [(hard, hard)])
    assert [line["needed"] for line in logs] == told
