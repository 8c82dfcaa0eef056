"""Looks at pods: what the status learns of them between two reconciles, what it costs, and how pods are made to load a change."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smtp_gateway_operator.cluster.api import GATEWAY, POD, SECRET, STATEFUL_SET, ConflictError, ForbiddenError, UnavailableError
from smtp_gateway_operator.reconcile import AT_ONCE, POLL
from smtp_gateway_operator.workqueue import PutOffError
from tests.support.waiting import eventually
from tests.unit.operator.setting import KEY, LOGINS, Setting, ref, resource, secret, upstream

SMARTHOST = [{"name": "default", "smarthosts": [{"host": "smtp.example.net"}]}]


@pytest.fixture
async def ready() -> Setting:
    """A gateway of two pods with a smarthost, Ready."""
    setting = Setting()
    await setting.given(resource(logins=LOGINS, replicas=2, routes=SMARTHOST), secret("app", alice="wonderland"))
    await setting.reconcile(KEY)
    await setting.pods_become_ready()
    for pod in ("mail-0", "mail-1"):
        await setting.says(pod, upstreams=[upstream()])
    await setting.reconcile(KEY)
    assert (await setting.condition("Ready"))[:2] == ("True", "PodsReady")
    setting.cluster.calls.clear()
    return setting


def queue(messages: int, **changed: Any) -> dict[str, Any]:
    """Return a pod's queue."""
    return {"messages": messages, "held": 0, "oldest": None, "lateness": 0} | changed


async def test_a_quiet_hour_costs_the_api_server_nothing(ready: Setting) -> None:
    """Each look asks every pod; nothing is read or written while nothing changes."""
    ready.fleet.asked.clear()

    for _ in range(240):
        ready.later(seconds=POLL)
        await ready.look()

    assert ready.cluster.calls == []
    assert len(ready.fleet.asked) == 2 * 240


async def test_a_busy_hour_costs_a_write_a_minute_at_most(ready: Setting) -> None:
    """A queue that is another one at every look is written once a minute, and nothing else is."""
    for number in range(240):
        ready.later(seconds=POLL)
        await ready.says("mail-0", queue=queue(number % 4 * 100, oldest=ready.now.timestamp() - number), upstreams=[upstream(at=number)])
        ready.cluster.calls = [call for call in ready.cluster.calls if call.verb != "get"]  # the test's own, for the hash
        await ready.look()

    assert {call.verb for call in ready.cluster.calls} == {"patch/status"}
    assert len(ready.cluster.calls) <= 60


async def test_looks_come_soon_after_something_happened(ready: Setting) -> None:
    """After a second, then two, four and eight, then every fifteen; without pods there are none."""
    assert [await ready.reconcile(KEY), *[await ready.look() for _ in range(5)]] == [1, 2, 4, 8, POLL, POLL]

    await ready.change(replicas=0)
    await ready.cluster.delete(ref(POD, "mail-0"), (await ready.get(POD, "mail-0"))["metadata"]["uid"])
    await ready.cluster.delete(ref(POD, "mail-1"), (await ready.get(POD, "mail-1"))["metadata"]["uid"])
    assert await ready.reconcile(KEY) is None


async def test_gateways_of_hanging_pods_do_not_keep_others_waiting(ready: Setting) -> None:
    """While pods of more gateways than may be brought about at a time do not answer, another one is brought about."""
    names = [f"mail{number}" for number in range(AT_ONCE)]
    for name in names:
        await ready.given(resource(name))
        await ready.reconcile(KEY._replace(name=name))
    silent = asyncio.Event()
    ready.fleet.answers = silent
    hanging = [asyncio.create_task(ready.reconcile(KEY._replace(name=name))) for name in names]
    await eventually(lambda: ready.fleet.waiting == AT_ONCE)

    await ready.given(resource("other"))
    other = asyncio.create_task(ready.reconcile(KEY._replace(name="other")))

    await eventually(lambda: ready.fleet.waiting == AT_ONCE + 1)
    assert await ready.exists(STATEFUL_SET, "other")
    silent.set()
    await asyncio.gather(*hanging, other)


async def test_an_upstream_that_is_lost_is_told_with_its_reply(ready: Setting) -> None:
    """Two failed probes make the condition False, with one Warning; one good probe makes it True again."""
    for at in (2, 3, 4):
        ready.later(seconds=POLL)
        await ready.says("mail-1", upstreams=[upstream(cause="AuthenticationRejected", at=at)])
        await ready.look()

    message = "route default, smtp.example.net:25: 550 AuthenticationRejected (seen by mail-1)"
    assert await ready.condition("UpstreamReachable") == ("False", "AuthenticationRejected", message)
    assert await ready.condition("Ready") == ("False", "AuthenticationRejected", f"UpstreamReachable is False: {message}")
    assert ready.reasons()[-2:] == [("Warning", "NotReady"), ("Warning", "AuthenticationRejected")]
    assert b'resource_ready{name="mail",namespace="apps"} 0.0' in ready.metrics.exposition()

    await ready.says("mail-1", upstreams=[upstream(at=5)])
    await ready.look()

    assert (await ready.condition("Ready"))[:2] == ("True", "PodsReady")
    assert ready.reasons()[-2:] == [("Normal", "Ready"), ("Normal", "Reachable")]


async def test_a_pod_that_stops_answering_is_told_after_a_minute(ready: Setting) -> None:
    """One lost answer is nothing; a minute of silence is."""
    ready.fleet.says["mail-1"] = "no answer within 3 s"
    ready.later(seconds=60)
    await ready.look()
    assert (await ready.condition("Ready"))[0] == "True"

    ready.later(seconds=1)
    await ready.look()

    assert (await ready.condition("Ready"))[:2] == ("Unknown", "NoReport")
    assert (await ready.condition("QueueHealthy"))[2] == "not every pod can be asked: mail-1: no answer within 3 s"


async def test_messages_wait_for_a_minute_and_changes_do_not(ready: Setting) -> None:
    """A reply with another number in it is not worth a write at each look."""
    for at in (2, 3):
        await ready.says("mail-1", upstreams=[upstream(cause="Refused", at=at)])
        await ready.look()
    told = (await ready.condition("UpstreamReachable"))[2]

    await ready.says("mail-1", upstreams=[upstream(cause="Refused", at=4, reply="number 4")])
    await ready.look()
    assert (await ready.condition("UpstreamReachable"))[2] == told

    ready.later(seconds=60)
    await ready.look()
    assert "number 4" in (await ready.condition("UpstreamReachable"))[2]


async def test_the_queue_is_shown_and_its_oldest_goes_with_it(ready: Setting) -> None:
    """Counts come with the next write that is due, and an empty queue has no oldest message."""
    await ready.says("mail-0", queue=queue(7, oldest=ready.now.timestamp()), upstreams=[upstream()])
    ready.later(seconds=60)
    await ready.look()
    assert (await ready.status())["queue"] == {"messages": 7, "oldestMessageTime": "2026-03-01T12:00:00Z"}

    await ready.says("mail-0", upstreams=[upstream()])
    ready.later(seconds=60)
    await ready.look()
    assert (await ready.status())["queue"] == {"messages": 0}


async def test_a_change_of_the_configuration_nudges_the_pods_that_are_behind(ready: Setting) -> None:
    """At once, again after two seconds and after four, and no more once the pod has it; Ready is unknown meanwhile, which is worth no Event."""
    before = await ready.config_hash()
    told = ready.reasons()
    await ready.change(limits={"recipients": 7})
    await ready.reconcile(KEY)
    short = (await ready.config_hash())[:12]
    assert [await ready.annotation(pod) for pod in ("mail-0", "mail-1")] == [f"{short}.1"] * 2
    assert (await ready.status())["configuration"] == {"hash": short, "podsCurrent": 0}
    assert (await ready.condition("Ready"))[:2] == ("Unknown", "LoadingConfiguration")

    await ready.says("mail-0", upstreams=[upstream()])
    for seconds, number in ((1, 1), (1, 2), (3, 2), (1, 3)):
        ready.later(seconds=seconds)
        await ready.look()
        assert await ready.annotation("mail-1") == f"{short}.{number}"
    assert await ready.annotation("mail-0") == f"{short}.1"
    message = f"1 of 2 pods run configuration {short}; still to load it: mail-1"
    assert await ready.condition("Progressing") == ("True", "LoadingConfiguration", message)

    await ready.says("mail-1", upstreams=[upstream()])
    await ready.look()
    assert (await ready.status())["configuration"] == {"hash": short, "podsCurrent": 2}
    assert (await ready.condition("Ready"))[:2] == ("True", "PodsReady")
    assert before[:12] != short
    assert ready.reasons() == told


async def test_pods_that_never_load_a_change_are_told(ready: Setting) -> None:
    """After three minutes it is no progress any more, and worth a Warning."""
    await ready.change(limits={"recipients": 7})
    await ready.reconcile(KEY)
    ready.later(seconds=181)

    await ready.look()

    assert (await ready.condition("Progressing"))[:2] == ("False", "ConfigurationNotLoaded")
    assert ("Warning", "ConfigurationNotLoaded") in ready.reasons()


@pytest.mark.parametrize("error", [ForbiddenError("no"), ConflictError("no"), UnavailableError("no")])
async def test_a_nudge_that_fails_is_no_failure(ready: Setting, error: Exception) -> None:
    """The kubelet refreshes volumes by itself; the next nudge comes in its turn."""
    assert isinstance(error, ForbiddenError | ConflictError | UnavailableError)
    ready.cluster.fail("patch", error, POD)
    await ready.change(limits={"recipients": 7})

    await ready.reconcile(KEY)

    assert await ready.annotation("mail-0") is None
    assert await ready.annotation("mail-1") is not None


async def test_somebody_elses_pod_is_neither_asked_nor_nudged(ready: Setting) -> None:
    """The labels alone do not make a pod the gateway's."""
    body = await ready.get(POD, "mail-0")
    await ready.given({**body, "metadata": {**body["metadata"], "name": "stranger"}})
    await ready.cluster.patch_status(ref(POD, "stranger"), body["status"])
    ready.fleet.asked.clear()

    await ready.reconcile(KEY)

    assert ready.fleet.asked == ["mail-0", "mail-1"]


async def test_pods_are_asked_while_a_secret_is_missing(ready: Setting) -> None:
    """What is in the way of a change does not hide how mail fares; pods are not nudged towards what is not known."""
    await ready.cluster.delete(ref(SECRET, "app"), (await ready.get(SECRET, "app"))["metadata"]["uid"])
    for at in (2, 3):
        await ready.says("mail-0", upstreams=[upstream(cause="Refused", at=at)])
        assert await ready.put_off()

    assert (await ready.condition("UpstreamReachable"))[:2] == ("False", "ConnectionRefused")
    assert (await ready.condition("Ready"))[1] == "SecretNotFound"
    assert await ready.annotation("mail-0") is None


async def test_without_an_authority_nobody_can_be_asked(ready: Setting) -> None:
    """A damaged authority is told where it matters."""
    await ready.cluster.patch(ref(SECRET, "mail-ca"), {"data": {"tls.key": None}})
    ready.later(minutes=2)

    assert await ready.put_off()

    assert (await ready.condition("UpstreamReachable"))[:2] == ("Unknown", "NoReport")
    assert "certificate authority" in (await ready.condition("UpstreamReachable"))[2]


async def test_a_look_that_cannot_write_is_tried_again(ready: Setting) -> None:
    """The API server's mood of the moment is no news about the gateway."""
    ready.cluster.fail("patch/status", UnavailableError("etcdserver: leader changed"))
    await ready.says("mail-0", upstreams=[])

    with pytest.raises(PutOffError):
        await ready.look()

    await ready.reconcile(KEY)
    assert (await ready.condition("UpstreamReachable"))[0] == "Unknown"


async def test_a_gateway_that_is_gone_is_not_looked_at(ready: Setting) -> None:
    """What was remembered for looks goes with it."""
    await ready.cluster.delete(ref(GATEWAY), (await ready.get(GATEWAY))["metadata"]["uid"])
    await ready.reconcile(KEY)
    ready.fleet.asked.clear()

    assert await ready.look() is None
    assert ready.fleet.asked == []
    assert set(ready.fleet.forgotten) == {KEY}
