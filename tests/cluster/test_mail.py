"""Mail through a real gateway: in on 587 and 2525 through the Service, out on port 25."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.support import world
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from tests.support.gateways import Gateway
    from tests.support.kube import Kube

HARD = (
    "Subject: hard cases {token}\r\n"
    "\r\n"
    ".a line with a dot first\r\n"
    "..and one with two\r\n"
    ".\r\n"
    "\u00e4\u00f6\u00fc \u2713 eight bits\r\n"
    "{long}\r\n"
    "\r\n"
    "after an empty line, with trailing blanks  \r\n"
)
"""Lines that relays get wrong: leading dots, a lone dot, octets above 127, more than 998 octets, empty lines."""


def hard_message() -> tuple[str, bytes]:
    """Return a token and a message that holds it."""
    token = secrets.token_hex(8)
    return token, HARD.format(token=token, long="x" * 1500).encode()


def arrival(sink: Kube, token: str) -> list[world.Received]:
    """Return what arrived with *token* in it."""
    return [message for message in world.received(sink) if token.encode() in message.data]


@pytest.mark.parametrize("port", [587, 2525])
def test_mail_arrives_byte_for_byte_behind_its_trace_header(gateway: Gateway, sink: Kube, port: int) -> None:
    """What a client submits arrives octet for octet; only trace headers stand before it."""
    token, data = hard_message()

    outcomes = gateway.submit(port, world.message("app@example.com", ["one@example.net", "two@example.org"], data))

    assert [outcome["code"] for outcome in outcomes] == [250]
    eventually_sync(lambda: arrival(sink, token), within=60, what="the mail arrives", pause=0.5)
    (message,) = arrival(sink, token)
    trace = message.data.removesuffix(data)
    assert message.data.endswith(data)
    assert (message.sender, message.recipients) == ("app@example.com", ("one@example.net", "two@example.org"))
    assert trace.startswith(b"Received: from ")
    assert trace.count(b"\r\nReceived:") == 0
    assert b"with ESMTPSA" in trace


@pytest.mark.parametrize("port", [587, 2525])
def test_a_wrong_password_is_refused(gateway: Gateway, port: int) -> None:
    """A wrong password gets 535, and nothing is sent."""
    message = world.message("app@example.com", ["one@example.net"], b"Subject: no\r\n\r\nno\r\n")

    assert [outcome["code"] for outcome in gateway.submit(port, message, password="wrong")] == [535]


@pytest.mark.parametrize("port", [587, 2525])
def test_mail_without_auth_is_refused(gateway: Gateway, port: int) -> None:
    """Without AUTH, MAIL gets 530."""
    message = world.message("app@example.com", ["one@example.net"], b"Subject: no\r\n\r\nno\r\n")

    assert [outcome["code"] for outcome in gateway.submit(port, message, login=None)] == [530]


@pytest.mark.parametrize("port", [587, 2525])
def test_auth_before_tls_is_refused(gateway: Gateway, port: int) -> None:
    """Before STARTTLS no AUTH is offered, and mail gets 530: a password never travels in the clear."""
    message = world.message("app@example.com", ["one@example.net"], b"Subject: no\r\n\r\nno\r\n")

    (with_login,) = gateway.submit(port, message, tls="None")
    (without_login,) = gateway.submit(port, message, tls="None", login=None)

    assert with_login["code"] == 0
    assert "not supported" in with_login["reply"]
    assert without_login["code"] == 530


def test_the_certificate_is_valid_for_the_service(gateway: Gateway) -> None:
    """A client that trusts the gateway's authority alone verifies the Service's name, short forms included."""
    for host in (gateway.name, f"{gateway.name}.{gateway.kube.namespace}", f"{gateway.name}.{gateway.kube.namespace}.svc.cluster.local"):
        outcomes = gateway.submit(587, world.message("app@example.com", ["one@example.net"], b"Subject: names\r\n\r\n"), host=host)

        assert [outcome["code"] for outcome in outcomes] == [250], host


def test_one_message_is_followed_from_accept_to_settlement(gateway: Gateway, sink: Kube) -> None:
    """The id in the 250 is in the log of its acceptance and of its delivery; the metrics count both."""
    token, data = hard_message()
    before = gateway.metric("smtp_gateway_delivered_recipients_total")

    (outcome,) = gateway.submit(587, world.message("app@example.com", ["one@example.net"], data))

    message_id = outcome["reply"].rpartition(" ")[2]
    eventually_sync(lambda: arrival(sink, token), within=60, what="the mail arrives", pause=0.5)
    eventually_sync(lambda: gateway.metric("smtp_gateway_delivered_recipients_total") >= before + 1, within=30, pause=0.5)
    records = [json.loads(line) for line in gateway.kube("logs", gateway.pod, "--since=5m").splitlines() if line.startswith("{")]
    events = [record["event"] for record in records if record.get("message_id") == message_id]
    assert events == ["accepted", "delivered"]
    assert not [record for record in records if gateway.password in json.dumps(record)]
