"""Which next hop mail goes to, and what becomes of it when there is none: asked of a real name server, over ports that are really blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.world import network
from tests.world.cases import ROUTING, Case
from tests.world.network import DROPPING, REJECTING

if TYPE_CHECKING:
    from tests.world.scenery import World


@pytest.mark.parametrize("case", ROUTING, ids=str)
def test_what_the_names_say_decides(around: World, case: Case) -> None:
    """Preferences, aliases and failover deliver; what may pass is put off; only what the DNS says for certain is returned."""
    line = around.outcome(case.recipient)

    assert line["event"] == case.event
    assert case.said in (line["hop"], line["reply"][: len(case.said)])


def test_a_blocked_port_is_told_with_the_address(around: World) -> None:
    """Who reads the log sees which address did not answer, of several the last: it said nothing at all, or that it is prohibited."""
    assert around.outcome("a@blocked.example")["hop"] == f"dropping.alone.example[{DROPPING}]:25"
    assert around.outcome("a@prohibited.example")["hop"] == f"rejecting.alone.example[{REJECTING}]:25"


def test_a_long_answer_is_asked_for_over_tcp(around: World) -> None:
    """An answer that is cut short is not taken for the whole (RFC 7766 section 5)."""
    around.outcome("a@many.example")

    assert network.connections_to_resolver() > 1  # one is that of the test which waits for the server
