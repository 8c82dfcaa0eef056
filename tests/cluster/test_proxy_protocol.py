"""PROXY headers through a real Service: from a peer that is listed, and from one that is not."""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import world
from tests.support.gateways import Gateway
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kube import Kube

CLIENT = "192.0.2.7"
HEADER = base64.b64encode(f"PROXY TCP4 {CLIENT} 198.51.100.1 51234 25\r\n".encode()).decode()
REFUSED = "smtp_gateway_refused_connections_total"


@pytest.fixture(scope="module")
def behind(kube: Kube, sink: Kube, operator: str) -> Iterator[Gateway]:
    """A gateway to which the client's pod is a proxy on two of its three listeners."""
    assert operator
    (client,) = kube.get("pods", "-l", "app=client")
    trusted = {"proxyProtocol": {"trusted": [f"{client['status']['podIP']}/32"]}}
    nobody = {"proxyProtocol": {"trusted": ["198.51.100.0/24"]}}
    listeners = [
        {"name": "submission", "port": 587} | trusted,
        {"name": "submissions", "port": 465, "tls": "Implicit"} | trusted,
        {"name": "alternative", "port": 2525} | nobody,
    ]
    behind = Gateway(kube, "behind", f"sink.{sink.namespace}.svc")
    behind.create(listeners=listeners)
    yield behind
    behind.delete()


def send(gateway: Gateway, port: int, **changed: Any) -> tuple[str, list[dict[str, Any]]]:
    """Send one message of its own; return what it is known by, and the outcomes."""
    token = secrets.token_hex(8)
    message = world.message("app@example.com", ["one@example.net"], f"Subject: {token}\r\n\r\n{token}\r\n".encode())
    return token, gateway.submit(port, message, **changed)


def trace(sink: Kube, token: str) -> bytes:
    """Wait for the message with *token*, and return all of it."""

    def found() -> list[bytes]:
        return [one.data for one in world.received(sink) if token.encode() in one.data]

    eventually_sync(found, within=60, what="the mail arrives", pause=0.5)
    return found()[0]


@pytest.mark.parametrize(("port", "tls"), [(587, "StartTLS"), (465, "Implicit")])
def test_a_listed_peer_says_who_the_client_is(behind: Gateway, sink: Kube, port: int, tls: str) -> None:
    """In Received, and in the pod's log."""
    token, outcomes = send(behind, port, tls=tls, preamble=HEADER)

    assert [outcome["code"] for outcome in outcomes] == [250]
    assert f" ([{CLIENT}])\r\n".encode() in trace(sink, token)
    message_id = outcomes[0]["reply"].rpartition(" ")[2]
    records = [json.loads(line) for line in behind.kube("logs", behind.pod, "--since=5m").splitlines() if line.startswith("{")]
    assert [record["peer"] for record in records if record["event"] == "accepted" and record["message_id"] == message_id] == [CLIENT]


def test_a_listed_peer_without_a_header_is_refused(behind: Gateway) -> None:
    """It is told why where that can be said, and counted."""
    before = behind.metric(REFUSED)
    _, outcomes = send(behind, 587)

    assert [(outcome["code"], outcome["reply"][:6]) for outcome in outcomes] == [(421, "4.4.2 ")]
    assert behind.metric(REFUSED) == before + 1


def test_an_unlisted_peer_is_served_as_itself_and_may_send_no_header(behind: Gateway, sink: Kube) -> None:
    """What it claims to be is nowhere; its connection is closed and counted."""
    token, outcomes = send(behind, 2525)
    assert [outcome["code"] for outcome in outcomes] == [250]
    assert CLIENT.encode() not in trace(sink, token)

    before = behind.metric(REFUSED)
    _, outcomes = send(behind, 2525, preamble=HEADER)

    assert [outcome["code"] for outcome in outcomes] == [0]
    assert behind.metric(REFUSED) == before + 1
    records = [json.loads(line) for line in behind.kube("logs", behind.pod, "--since=5m").splitlines() if line.startswith("{")]
    assert "proxy_untrusted" in [record["reason"] for record in records if record["event"] == "connection refused"]
