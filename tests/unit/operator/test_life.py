"""A fleet that is scaled in, on a cluster in memory: who is waited for, what is said about it, and that nothing is forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway_operator.cluster.api import DISRUPTION_BUDGET, POD, STATEFUL_SET, VOLUME_CLAIM, UnavailableError
from smtp_gateway_operator.cluster.memory import Call
from smtp_gateway_operator.names import LET_GO_ANNOTATION
from smtp_gateway_operator.reconcile import DRAINING, POLL
from tests.unit.operator.fleets import BACKLOG, Controlled, scaled_in_with_mail
from tests.unit.operator.setting import KEY, ref, upstream


async def test_empty_pods_go_and_leave_drained_volumes() -> None:
    """Scaled in, the fleet shrinks once its pods say that they take no mail and have none; the volumes say so too, and stay."""
    setting = await Controlled.of(3)

    await setting.change(replicas=1)
    await setting.settle()

    assert await setting.size() == 1
    assert [await setting.noted(number) for number in range(3)] == [("0", "unknown"), ("0", "true"), ("0", "true")]
    assert "serving" not in await setting.config() or (await setting.config())["serving"] is None
    assert (await setting.condition("Progressing"))[:2] == ("False", "Complete")
    assert await setting.condition("Ready") == ("True", "PodsReady", "1 of 1 pods ready")


async def test_a_pod_with_mail_is_waited_for() -> None:
    """The StatefulSet keeps its size, the pods beyond drain, and the status says which waits and why; mail is still taken by the others."""
    setting = await scaled_in_with_mail()

    assert await setting.size() == 3
    assert (await setting.config())["serving"] == 1
    assert await setting.condition("Progressing") == (
        "True",
        "Draining",
        (
            "scaling in from 3 to 1, each pod goes when it is empty: "
            "mail-2 has 12 in its queue, the oldest since 2026-03-01T12:00:00Z; mail-1 is empty"
        ),
    )
    assert await setting.condition("Ready") == ("True", "PodsReady", "1 of 1 pods ready")
    assert ("Normal", "Draining") in setting.reasons()

    setting.queues.clear()
    await setting.settle()
    assert await setting.size() == 1


async def test_a_drain_is_looked_at_often() -> None:
    """Nothing but a look tells that a pod is empty; without a drain pods are asked less and less often."""
    setting = await scaled_in_with_mail()
    assert [await setting.reconcile(KEY), *[await setting.look() for _ in range(3)]] == [1, 2, DRAINING, DRAINING]

    setting.queues.clear()
    await setting.settle()
    assert max([await setting.look() or 0.0 for _ in range(10)]) == POLL


async def test_held_messages_count() -> None:
    """Nobody would deliver them any more, so the fleet waits until somebody lets them go."""
    setting = await scaled_in_with_mail({"messages": 2, "held": 2, "oldest": None, "lateness": 0})

    assert await setting.size() == 3
    assert (
        "mail-2 has 2 in its queue, 2 of them held until somebody releases or removes them" in (await setting.condition("Progressing"))[2]
    )


async def test_the_trouble_of_the_upstream_is_told() -> None:
    """Whoever reads why it waits reads what has to be mended."""
    setting = await scaled_in_with_mail()
    setting.fleet.says["mail-2"] = await setting.said(2, accepting=False, draining=True, upstreams=[upstream(cause="Refused")])

    await setting.reconcile(KEY)

    assert "route default, smtp.example.net:25: 550 Refused" in (await setting.condition("Progressing"))[2]


async def test_the_fleet_shrinks_as_far_as_the_highest_pods_are_empty() -> None:
    """A StatefulSet gives up its highest ordinal first: one that waits keeps those below it, and none above it."""
    setting = await Controlled.of(4)
    setting.queues[2] = BACKLOG
    await setting.change(replicas=1)
    await setting.settle()

    assert await setting.size() == 3
    assert await setting.noted(3) == ("0", "true")


async def test_a_pod_that_does_not_answer_is_never_taken_for_empty() -> None:
    """It may hold mail; a report that it gave a moment ago does not count either."""
    setting = await Controlled.of(2)
    setting.silent = {1}
    await setting.change(replicas=1)
    await setting.settle()
    await setting.look()

    assert await setting.size() == 2
    assert (
        "mail-1 may hold mail, and has not answered since 2026-03-01T12:00:00Z: connection refused"
        in (await setting.condition("Progressing"))[2]
    )

    setting.silent = set()
    await setting.settle()
    assert await setting.size() == 1


async def test_since_when_a_pod_does_not_answer_is_told() -> None:
    """The time of its last answer, and it stays while looks go by; after an answer it is another silence."""
    setting = await Controlled.of(2)
    setting.silent = {1}
    await setting.change(replicas=1)
    await setting.settle()
    setting.later(minutes=5)
    await setting.look()
    assert "has not answered since 2026-03-01T12:00:00Z: " in (await setting.condition("Progressing"))[2]

    setting.silent = set()
    setting.queues = {1: BACKLOG}
    await setting.heed()
    await setting.look()
    setting.later(minutes=5)
    setting.silent = {1}
    await setting.heed()
    await setting.look()

    assert "has not answered since 2026-03-01T12:05:00Z: " in (await setting.condition("Progressing"))[2]


async def test_a_pod_can_be_let_go_with_what_it_has() -> None:
    """By an annotation of its claim while it drains. Nothing says that the volume was drained, and `Ready` says that it may hold mail."""
    setting = await Controlled.of(2)
    setting.queues = {1: BACKLOG}
    setting.later(minutes=2)
    await setting.settle()
    setting.silent = {1}
    await setting.change(replicas=1)
    await setting.settle()
    assert await setting.size() == 2

    await setting.cluster.patch(ref(VOLUME_CLAIM, "spool-mail-1"), {"metadata": {"annotations": {LET_GO_ANNOTATION: "true"}}})
    await setting.settle()

    assert await setting.size() == 1
    assert await setting.noted(1) == ("12", "unknown")
    assert "volumes without a pod hold 12 messages" in (await setting.condition("Ready"))[2]


async def test_who_serves_is_not_let_go() -> None:
    """The word is taken back when the fleet grows again, and from a pod that nobody scales in: the next scale-in waits."""
    setting = await Controlled.of(2)
    claim = ref(VOLUME_CLAIM, "spool-mail-1")
    await setting.cluster.patch(claim, {"metadata": {"annotations": {LET_GO_ANNOTATION: "true"}}})
    await setting.settle()
    assert LET_GO_ANNOTATION not in (await setting.get(VOLUME_CLAIM, "spool-mail-1"))["metadata"]["annotations"]

    setting.silent = {1}
    await setting.change(replicas=1)
    await setting.settle()
    assert await setting.size() == 2


async def test_a_pod_that_was_empty_and_answers_no_longer_is_waited_for() -> None:
    """What it said a moment ago counts for the status, and for nothing that cannot be taken back."""
    setting = await scaled_in_with_mail()
    setting.silent = {1}
    setting.queues.clear()
    await setting.settle()

    assert await setting.size() == 2


async def test_a_pod_that_is_away_is_waited_for() -> None:
    """Evicted or lost with its node: its queue is on the volume, and comes back with it."""
    setting = await scaled_in_with_mail()
    setting.queues.clear()
    gone = await setting.get(POD, "mail-2")
    await setting.cluster.delete(ref(POD, "mail-2"), gone["metadata"]["uid"])
    setting.fleet.says.pop("mail-2")

    await setting.reconcile(KEY)

    assert await setting.size() == 3
    assert "mail-2 may hold mail, and does not answer: it is not running" in (await setting.condition("Progressing"))[2]


async def test_a_pod_that_never_had_a_volume_is_not_waited_for() -> None:
    """No node had room for it, say: there is nothing that could hold mail."""
    setting = await Controlled.of(2)
    setting.silent = {1}
    await setting.cluster.patch(ref(VOLUME_CLAIM, "spool-mail-1"), {"status": {"phase": "Pending"}})

    await setting.change(replicas=1)
    await setting.settle()

    assert await setting.size() == 1


@pytest.mark.parametrize("said", [{"sessions": 1}, {"accepting": True}, {"draining": False}, {"config_hash": "older"}])
async def test_a_pod_that_may_still_be_given_mail_is_waited_for(said: dict[str, Any]) -> None:
    """A session that is open, or a drain that has not begun."""
    setting = await scaled_in_with_mail()
    setting.queues.clear()
    setting.fleet.says["mail-2"] = await setting.said(2, **{"accepting": False, "draining": True} | said)

    await setting.reconcile(KEY)

    assert await setting.size() == 3


async def test_pods_that_drain_have_their_part_of_the_pace() -> None:
    """The configuration counts them until they are gone, and then gives their part to those that stay; nobody restarts for it."""
    setting = await Controlled.of(3)
    await setting.change(routes=[{"name": "default", "pacing": {"messagesPerSecond": 14}}])
    await setting.settle()
    assert (await setting.config())["pods"] == 3
    setting.queues[2] = BACKLOG
    uid = (await setting.get(POD, "mail-0"))["metadata"]["uid"]

    await setting.change(replicas=1)
    await setting.settle()
    assert (await setting.size(), (await setting.config())["pods"]) == (3, 3)

    setting.queues.clear()
    await setting.settle()
    assert (await setting.size(), (await setting.config())["pods"]) == (1, 1)
    await setting.change(replicas=2)
    await setting.settle()
    assert (await setting.config())["pods"] == 2
    assert (await setting.get(POD, "mail-0"))["metadata"]["uid"] == uid


async def test_without_a_pace_scaling_changes_no_configuration() -> None:
    """Nothing is divided, so nobody has to load anything."""
    setting = await Controlled.of(1)
    before = await setting.config_hash()

    await setting.change(replicas=3)
    await setting.settle()

    assert await setting.config_hash() == before


async def test_a_scale_in_is_cancelled_by_scaling_out() -> None:
    """Everybody serves again, and nobody was restarted for it."""
    setting = await scaled_in_with_mail()
    before = {name: (await setting.get(POD, name))["metadata"]["uid"] for name in ("mail-1", "mail-2")}

    await setting.change(replicas=3)
    await setting.settle()

    assert (await setting.config()).get("serving") is None
    assert (await setting.condition("Progressing"))[:2] == ("False", "Complete")
    assert {name: (await setting.get(POD, name))["metadata"]["uid"] for name in before} == before
    assert setting.sizes == [3]


async def test_a_restarted_operator_goes_on_with_a_scale_in() -> None:
    """Nothing of it is in anybody's memory."""
    setting = await scaled_in_with_mail()
    before = await setting.config_hash()
    setting.reconcile = setting.restarted()

    await setting.settle()
    assert (await setting.size(), await setting.config_hash()) == (3, before)

    setting.queues.clear()
    await setting.settle()
    assert await setting.size() == 1


async def test_a_look_is_enough_to_find_that_it_may_shrink() -> None:
    """Nothing happens in the cluster when a queue becomes empty, so looks must see it."""
    setting = await scaled_in_with_mail()
    setting.queues.clear()
    await setting.heed()

    await setting.look()

    assert await setting.size() == 1


async def test_a_fleet_that_waits_asks_the_api_server_nothing() -> None:
    """A scale-in may take days, and costs the pods' answers alone."""
    setting = await scaled_in_with_mail()
    setting.cluster.calls.clear()

    await setting.look()

    assert setting.cluster.calls == []


async def test_until_the_last_pod_is_gone_the_others_know_that_it_does_not_serve() -> None:
    """Its last words must not be that it takes mail again."""
    setting = await Controlled.of(2)
    await setting.change(replicas=1)
    await setting.reconcile(KEY)
    await setting.heed()
    await setting.reconcile(KEY)
    assert await setting.size() == 1
    await setting.reconcile(KEY)
    assert (await setting.config())["serving"] == 1

    await setting.settle()
    assert (await setting.config()).get("serving") is None


async def test_the_volume_is_noted_before_the_fleet_shrinks() -> None:
    """When that cannot be written, it does not shrink."""
    setting = await scaled_in_with_mail()
    setting.queues.clear()
    await setting.heed()
    setting.cluster.fail("patch", UnavailableError("busy"), VOLUME_CLAIM)

    assert await setting.put_off()
    assert await setting.size() == 3

    setting.cluster.calls.clear()
    await setting.settle()
    written = [call.kind for call in setting.cluster.calls if call == Call("patch", call.kind)]
    assert written.index(VOLUME_CLAIM) < written.index(STATEFUL_SET)


async def test_a_fleet_whose_labels_are_lost_is_not_taken_for_none() -> None:
    """The labels by which children are found are anybody's to remove: the fleet must not shrink for it."""
    setting = await scaled_in_with_mail()
    await setting.cluster.patch(ref(STATEFUL_SET), {"metadata": {"labels": None}})

    await setting.reconcile(KEY)

    assert await setting.size() == 3


async def test_nodes_can_be_drained_while_a_scale_in_waits() -> None:
    """Pods that drain are not ready, and are no reason to keep a node from being drained."""
    setting = await scaled_in_with_mail()
    assert (await setting.get(DISRUPTION_BUDGET))["spec"]["maxUnavailable"] == 3

    setting.queues.clear()
    await setting.settle()
    assert (await setting.get(DISRUPTION_BUDGET))["spec"]["maxUnavailable"] == 1
