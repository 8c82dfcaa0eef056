"""REQUIRETLS and `TLS-Required: No` (RFC 8689) over a real DNS: who gets such mail, and what its sender hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import eventually_sync
from tests.world.scenery import PATIENCE

if TYPE_CHECKING:
    from tests.support.sink import Taken
    from tests.world.scenery import World

REQUIRED = ("REQUIRETLS",)
RELAXED = b"Subject: Unimportant\r\nTLS-Required: No\r\n\r\nHello\r\n"


def test_it_goes_to_a_domain_that_dnssec_vouches_for(around: World) -> None:
    """Its mail exchanger has a valid certificate and announces REQUIRETLS: asked for there as well, although the route is opportunistic."""
    around.submit("tls@mail.signed", options=REQUIRED)

    line = around.outcome("tls@mail.signed")
    assert (line["event"], line["verified"]) == ("delivered", True)
    (taken,) = _taken(around, "signed", "tls@mail.signed")
    assert taken.tls
    assert "REQUIRETLS" in taken.parameters.split()


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("tls@valid.opp.example", "550 5.7.10 Encryption needed (REQUIRETLS): no DNSSEC vouches for"),
        ("tls@valid.relay-opp.example", "550 5.7.30 REQUIRETLS support required"),
        ("tls@self.relay-none.example", "550 5.7.10 Encryption needed: TLS handshake failed: "),
        ("tls@clear.relay-none.example", "550 5.7.10 Encryption needed: TLS is required and the next hop does not offer STARTTLS"),
    ],
    ids=["unsigned-domain", "not-announced", "self-signed", "no-starttls"],
)
def test_it_comes_back_where_it_cannot_go(around: World, recipient: str, reply: str) -> None:
    """At once, with the code that says why, and nobody got it; the notice quotes no more than the header section, whatever was asked for."""
    around.submit(recipient, message=b"Subject: %s\r\n\r\na secret\r\n" % recipient.encode(), options=(*REQUIRED, "RET=FULL"))

    line = around.outcome(recipient)
    assert line["event"] == "bounced"
    assert line["reply"].startswith(reply)
    assert all(not _taken(around, kind, recipient) for kind in around.exchangers)
    notice = _notice(around, recipient)
    assert reply.encode()[4:11] in notice.body
    assert b"a secret" not in notice.body


@pytest.mark.parametrize("policy", ["req", "ver"])
def test_a_header_does_not_relax_what_the_administrator_demands(around: World, policy: str) -> None:
    """`TLS-Required: No` is about policies of recipients' domains (RFC 8689 section 4.2.2), not about the route's."""
    recipient = f"relaxed@clear.{policy}.example"
    around.submit(recipient, message=RELAXED)

    line = around.outcome(recipient)
    assert line["event"] == "deferred"
    assert line["reply"].startswith("451 4.7.4")


def test_a_header_that_relaxes_is_passed_on(around: World) -> None:
    """The next hop may have policies of recipients' domains to relax."""
    around.submit("relaxed@expired.opp.example", message=RELAXED)

    assert around.outcome("relaxed@expired.opp.example")["event"] == "delivered"
    (taken,) = _taken(around, "expired", "relaxed@expired.opp.example")
    assert b"\r\nTLS-Required: No\r\n" in taken.body


def test_a_header_does_not_relax_what_the_envelope_demands(around: World) -> None:
    """REQUIRETLS wins where a message says both."""
    around.submit("both@clear.relay-none.example", message=RELAXED, options=REQUIRED)

    assert around.outcome("both@clear.relay-none.example")["reply"].startswith("550 5.7.10")


def _taken(around: World, kind: str, recipient: str) -> list[Taken]:
    return [message for message in around.exchangers[kind].taken if recipient in message.recipients]


def _notice(around: World, recipient: str) -> Taken:
    """Wait for the notice that comes back for *recipient*: the senders of the tests have their mail exchanger, too."""

    def found() -> list[Taken]:
        return [each for each in _taken(around, "valid", "me@sender.example") if f"Subject: {recipient}".encode() in each.body]

    eventually_sync(found, PATIENCE, f"a notice about {recipient}")
    return found()[0]
