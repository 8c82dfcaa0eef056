"""The time-outs of a listener: the table is of the values in force, and within what RFC 5321 allows."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from smtp_gateway.listener.encrypted import HANDSHAKE_TIMEOUT
from smtp_gateway.listener.timeouts import PHASES, USUAL


def test_every_time_is_in_the_table() -> None:
    """In it once, and nothing else is."""
    assert sorted(phase.seconds for phase in PHASES) == sorted([*astuple(USUAL), HANDSHAKE_TIMEOUT])
    assert all(phase.reason and phase.standard and phase.told for phase in PHASES)


def test_the_standard_is_kept() -> None:
    """Five minutes at least for the next command of who may send; blocks and the beginning of a body have a client's time at most."""
    assert USUAL.command >= 300
    assert USUAL.body <= 180
    assert USUAL.stranger == min(USUAL.stranger, USUAL.command, USUAL.body)
    assert USUAL.proxy_header >= 3
    assert USUAL.shortest == USUAL.proxy_header


@pytest.mark.parametrize(
    ("known", "body", "seconds"),
    [(False, False, USUAL.stranger), (True, False, USUAL.command), (True, True, USUAL.body)],
)
def test_patience_depends_on_who_is_silent_and_where(known: bool, body: bool, seconds: float) -> None:  # noqa: FBT001 columns of the table
    """Least with who has not said who it is."""
    assert USUAL.silence(known=known, body=body) == seconds
