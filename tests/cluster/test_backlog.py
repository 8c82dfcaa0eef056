"""What gathers is delivered: next hops that come and go, and a volume that was full."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.support import world
from tests.support.gateways import Gateway
from tests.support.kube import CommandError
from tests.support.waiting import DeadlinePassedError, eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tests.support.kube import Kube

CONNECTIONS, EACH = 20, 50
LARGE = b"x" * 78 + b"\r\n"
ACCEPTED = 250
PUT_OFF = {452, 0}
"""No room, and nobody is listening behind the Service, because no pod is ready."""


@pytest.fixture
def pair(gateway: Gateway) -> Iterator[Gateway]:
    """A gateway of two pods."""
    pair = Gateway(gateway.kube, "pair", gateway.smarthost)
    pair.create(replicas=2)
    yield pair
    pair.delete()


@pytest.mark.timeout(600)
def test_a_thousand_mails_arrive_while_the_next_hop_comes_and_goes(pair: Gateway, sink: Kube) -> None:
    """Through two pods, with a next hop that puts mail off for 20 s, is replaced, and goes away for a while: all arrive."""
    sent: set[str] = set()
    for connection in range(CONNECTIONS):
        sent |= submit(pair, [f"Subject: thousand {connection:02} {number:02}" for number in range(EACH)])
        if connection == CONNECTIONS // 4:
            world.throttle(sink)
        if connection == CONNECTIONS // 2:
            sink("delete", "pod", "-l", "app=sink", "--wait=false")
    world.scale_sink(sink, 0)
    world.scale_sink(sink, 1)

    assert len(sent) == CONNECTIONS * EACH
    arrives(sent, sink)


def arrives(sent: set[str], sink: Kube) -> None:
    """Wait until the sink has all Subjects that were *sent*; what is missing is said."""
    missing = set(sent)

    def nothing_is_missing() -> bool:
        missing.difference_update(world.subjects(sink))
        return not missing

    try:
        eventually_sync(nothing_is_missing, within=180, what="all mails arrive", pause=1)
    except DeadlinePassedError as late:
        message = f"{late}: {len(missing)} of {len(sent)} are missing, among them {sorted(missing)[:10]}"
        raise DeadlinePassedError(message) from None


def submit(gateway: Gateway, subjects: list[str]) -> set[str]:
    """Send a message for each of *subjects* over one connection, once there is one; return those that were acknowledged."""
    messages = [world.message("app@example.com", ["one@example.net"], f"{subject}\r\n\r\n".encode()) for subject in subjects]
    outcomes: list[dict[str, Any]] = []

    def connected() -> bool:
        # Between a pod that is ready and a Service that leads to it, there is a moment.
        outcomes[:] = gateway.submit(587, *messages)
        return len(outcomes) > 1 or outcomes[0]["code"] != 0

    eventually_sync(connected, within=60, what="a connection through the Service", pause=1)
    assert {outcome["code"] for outcome in outcomes} == {ACCEPTED}, outcomes[-1]
    return {subject for subject, outcome in zip(subjects, outcomes, strict=False) if outcome["code"] == 250}


@pytest.fixture
def small(gateway: Gateway, sink: Kube) -> Iterator[Gateway]:
    """A gateway on a volume of 64 MiB whose next hop is away."""
    small = Gateway(gateway.kube, "small", gateway.smarthost)
    small.create(spool={"volume": {"size": "32Mi", "storageClassName": "lab-small"}})  # Ready only while its next hop answers
    world.scale_sink(sink, 0)
    yield small
    small.delete()
    world.scale_sink(sink, 1)


@pytest.mark.lab
@pytest.mark.timeout(600)
def test_a_full_volume_refuses_new_mail_and_recovers(small: Gateway, sink: Kube) -> None:
    """It answers 452, keeps what it took, is not ready, and is again once there is room; everything acknowledged arrives."""
    taken: list[str] = []
    fill(small, 1024 * 1024, taken)
    while not refuses(small):  # a large one that was refused at its end may have left room
        fill(small, 16 * 1024, taken)
    small.wait("condition=Ready=False", 60)

    world.scale_sink(sink, 1)

    arrives(set(taken), sink)
    small.wait("condition=Ready")
    (outcome,) = small.submit(587, large("again", 1024 * 1024))
    assert outcome["code"] == ACCEPTED


def refuses(gateway: Gateway) -> bool:
    """Tell whether the gateway's pod becomes not ready, and stays so."""
    return becomes(gateway, "Ready=False", 20) and not becomes(gateway, "Ready", 10)


def becomes(gateway: Gateway, condition: str, within: int) -> bool:
    """Tell whether a condition of the gateway's pod comes true within some seconds."""
    try:
        gateway.kube("wait", f"--for=condition={condition}", f"pod/{gateway.pod}", f"--timeout={within}s")
    except CommandError as fault:
        if "timed out" not in str(fault):
            raise
        return False
    return True


def fill(gateway: Gateway, size: int, taken: list[str]) -> None:
    """Send messages of *size* octets until there is no room for one, or no pod that is ready; add the Subjects of the others to *taken*."""
    codes = {ACCEPTED}
    while codes == {ACCEPTED}:
        names = [f"{size} {len(taken) + number}" for number in range(16)]
        outcomes = gateway.submit(587, *(large(name, size) for name in names))
        codes = {outcome["code"] for outcome in outcomes}
        assert codes <= {ACCEPTED, *PUT_OFF}, outcomes
        taken += [f"Subject: {name}" for name, outcome in zip(names, outcomes, strict=False) if outcome["code"] == ACCEPTED]


def large(name: str, size: int) -> dict[str, Any]:
    """Return a message of *size* octets."""
    message = world.message("app@example.com", ["one@example.net"], f"Subject: {name}\r\n\r\n".encode() + LARGE * (size // len(LARGE)))
    assert len(base64.b64decode(message["data"])) <= size + 100
    return message
