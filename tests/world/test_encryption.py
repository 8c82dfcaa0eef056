"""Each TLS policy towards next hops with each kind of certificate: mail exchangers by their route, and smarthosts by their own setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.world.cases import ENCRYPTED, ENCRYPTION, IN_THE_CLEAR, NOT_OFFERED, VERIFIED

if TYPE_CHECKING:
    from tests.world.scenery import World


@pytest.mark.parametrize(("recipient", "kind", "expected"), ENCRYPTION, ids=[recipient for recipient, _, _ in ENCRYPTION])
def test_a_policy_decides_over_each_certificate(around: World, recipient: str, kind: str, expected: str) -> None:
    """Delivered in the clear or under TLS as the policy says, or put off with the cause in the log; never sent where it may not go."""
    line = around.outcome(recipient)
    taken = [message for message in around.exchangers[kind].taken if recipient in message.recipients]

    if expected in {IN_THE_CLEAR, ENCRYPTED, VERIFIED}:
        assert line["event"] == "delivered"
        assert [message.tls for message in taken] == [expected != IN_THE_CLEAR]
    else:
        assert line["event"] == "deferred"
        assert expected in line["reply"]
        assert line["reply"].startswith("451 4.7.4" if expected == NOT_OFFERED else "451 4.7.5")
        assert taken == []
