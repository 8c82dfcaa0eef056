"""A provider that wants credentials: wrong ones are told, corrected ones need no restart, and changing ones lose no mail."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import world
from tests.support.fleets import arrive, told, uids
from tests.support.gateways import Gateway
from tests.support.stream import EACH, Stream
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kube import Kube

USERNAME = "relay@example.com"
REFUSAL = "535 5.7.8 Username and password not accepted"
CHANGES = 2
WITHIN = 60
"""Seconds for a changed Secret to be in force; it takes some five."""


def credentials(password: str) -> dict[str, Any]:
    """Return the Secret that the smarthost names."""
    data = {"username": USERNAME, "password": password}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "provider"}, "type": "kubernetes.io/basic-auth", "stringData": data}


def routes(gateway: Gateway, retry: str) -> list[dict[str, Any]]:
    """Return the routes of a gateway whose mail is tried again after *retry*."""
    hop = {"host": gateway.smarthost, "port": 587, "tls": "Required", "credentialsRef": {"name": "provider"}}
    return [{"name": "default", "smarthosts": [hop], "retry": {"initial": retry, "maximum": retry}}]


@pytest.fixture(scope="module")
def relaying(kube: Kube, sink: Kube, operator: str) -> Iterator[Gateway]:
    """A gateway of two pods whose provider takes another password than the one that they have."""
    assert operator
    relaying = Gateway(kube, "relaying", f"sink.{sink.namespace}.svc")
    world.demand(sink, USERNAME, secrets.token_urlsafe())
    kube.apply(credentials("wrong"), *relaying.manifest(replicas=2, routes=routes(relaying, "1h")))
    yield relaying
    relaying.delete()
    kube("delete", "secret", "provider")


def restarts(gateway: Gateway) -> list[int]:
    """Return how often each pod's gateway was started again."""
    pods = gateway.kube.get("pods", "-l", f"app.kubernetes.io/instance={gateway.name}")
    return [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods]


def put_off(gateway: Gateway, number: int) -> str:
    """Send a message that waits, once the Service leads to a pod; return its Subject."""
    subject = f"Subject: put off {number}"
    message = world.message("app@example.com", ["one@example.net"], f"{subject}\r\n\r\n".encode())
    eventually_sync(lambda: gateway.submit(587, message)[0]["code"] == 250, within=WITHIN, what="a message is taken", pause=1)
    return subject


def test_a_wrong_password_is_told_and_a_corrected_one_needs_no_restart(relaying: Gateway, sink: Kube) -> None:
    """In the provider's words and with the Secret's name; then Ready, and the mail that would have waited for an hour arrives."""
    relaying.wait("condition=UpstreamReachable=False", 120)
    status, reason, message = told(relaying, "UpstreamReachable")
    assert (status, reason) == ("False", "AuthenticationRejected")
    assert message.startswith(f"route default, {relaying.smarthost}:587 with Secret provider: {REFUSAL} (seen by relaying-")
    assert told(relaying, "Ready")[0] == "False"
    relaying.kube("wait", "--for=condition=Ready", "pod", "-l", f"app.kubernetes.io/instance={relaying.name}", "--timeout=60s")
    wanted = {put_off(relaying, number) for number in range(4)}
    pods, right = uids(relaying), secrets.token_urlsafe()

    world.demand(sink, USERNAME, right)
    relaying.kube.apply(credentials(right))

    relaying.wait("condition=Ready", WITHIN)
    eventually_sync(lambda: wanted <= world.subjects(sink), within=WITHIN, what="what waited arrives", pause=0.5)
    assert uids(relaying) == pods
    assert restarts(relaying) == [0, 0]


def change(gateway: Gateway, password: str) -> None:
    """Change the Secret, and wait until every pod has it."""
    before = gateway.kube.get("smtpgateway", gateway.name)["status"]["configuration"]["hash"]
    gateway.kube.apply(credentials(password))

    def in_force() -> bool:
        found = gateway.kube.get("smtpgateway", gateway.name)["status"]["configuration"]
        return bool(found["hash"] != before and found["podsCurrent"] == len(uids(gateway)))

    eventually_sync(in_force, within=WITHIN, what="the password is in force on every pod", pause=0.3)


def test_passwords_that_change_under_load_lose_no_mail(relaying: Gateway, sink: Kube) -> None:
    """The provider changes it first, for open sessions too, and every pod follows; all that was acknowledged arrives, and no client is refused."""
    relaying.kube.apply(*relaying.manifest(replicas=2, routes=routes(relaying, "2s")))
    with Stream(relaying, "rotated") as stream:
        for _ in range(CHANGES):
            password = secrets.token_urlsafe()
            world.demand(sink, USERNAME, password)
            change(relaying, password)
            wanted = len(world.subjects(sink)) + EACH
            eventually_sync(lambda: len(world.subjects(sink)) > wanted, within=WITHIN, what="mail goes on", pause=0.5)  # noqa: B023 awaited before the next turn
    arrive(stream, sink)

    assert stream.refused == 0
    assert restarts(relaying) == [0, 0]
