"""Each TLS policy towards next hops with each kind of certificate: mail exchangers by their route, and smarthosts by their own setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.world.cases import ENCRYPTED, ENCRYPTION, IN_THE_CLEAR, NOT_OFFERED, VERIFIED

if TYPE_CHECKING:
    from tests.world.scenery import World


def told(line: dict[str, Any]) -> str:
    """Return what a line of the log says of how its message travelled."""
    if line["tls"] == "none":
        assert "cipher" not in line
        return IN_THE_CLEAR
    assert (line["tls"], line["cipher"]) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    return VERIFIED if line["verified"] else ENCRYPTED


@pytest.mark.parametrize(("recipient", "kind", "expected"), ENCRYPTION, ids=[recipient for recipient, _, _ in ENCRYPTION])
def test_a_policy_decides_over_each_certificate(around: World, recipient: str, kind: str, expected: str) -> None:
    """Delivered in the clear or under TLS as the policy says, or put off with the cause in the log; never sent where it may not go."""
    line = around.outcome(recipient)
    taken = [message for message in around.exchangers[kind].taken if recipient in message.recipients]

    if expected in {IN_THE_CLEAR, ENCRYPTED, VERIFIED}:
        assert line["event"] == "delivered"
        assert [message.tls for message in taken] == [expected != IN_THE_CLEAR]
        assert told(line) == expected
    else:
        assert line["event"] == "deferred"
        assert expected in line["reply"]
        assert line["reply"].startswith("451 4.7.4" if expected == NOT_OFFERED else "451 4.7.5")
        assert taken == []


def test_the_metrics_say_how_much_went_under_tls(around: World) -> None:
    """By route, version and whether the certificate was verified; what went in the clear is in no count of these."""
    for recipient, _, _ in ENCRYPTION:
        around.outcome(recipient)

    page = around.metrics()

    assert _counted(page, "mx-opp", verified="false") == 4
    assert _counted(page, "mx-req", verified="false") == 4
    assert _counted(page, "mx-ver", verified="true") == 1
    assert _counted(page, "valid-ver", verified="true") == 1
    assert _counted(page, "mx-none", verified="false") == _counted(page, "mx-none", verified="true") == 0


def _counted(page: str, route: str, verified: str) -> float:
    name = f'smtp_gateway_encrypted_recipients_total{{route="{route}",verified="{verified}",version="TLSv1.3"}} '
    return next(float(line.removeprefix(name)) for line in page.splitlines() if line.startswith(name))
