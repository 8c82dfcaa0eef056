"""A fleet that is scaled to zero and back, on a cluster in memory, and what its volumes say."""

from __future__ import annotations

from smtp_gateway_operator.cluster.api import STATEFUL_SET, VOLUME_CLAIM, ForbiddenError, UnavailableError
from smtp_gateway_operator.cluster.memory import Call
from tests.unit.operator.fleets import BACKLOG, Controlled
from tests.unit.operator.setting import KEY, ref, resource


async def test_to_zero_pods_stop_at_once_and_the_status_says_how_much_sleeps() -> None:
    """Nobody is waited for; the volumes have the last counts, and none of them passes for drained."""
    setting = await Controlled.of(2)
    setting.queues = {0: BACKLOG}
    setting.silent = {1}
    await setting.heed()
    await setting.cluster.patch(ref(VOLUME_CLAIM, "spool-mail-1"), {"metadata": {"annotations": None}})

    await setting.change(replicas=0)
    await setting.settle()

    assert await setting.size() == 0
    assert [await setting.noted(0), await setting.noted(1)] == [("12", "unknown"), (None, "unknown")]
    assert await setting.condition("Ready") == (
        "True",
        "ScaledToZero",
        (
            "as wanted there are no pods: no mail is accepted or delivered, and the volumes are kept; "
            "volumes without a pod hold 12 messages, by their last count; nobody knows what is on spool-mail-1"
        ),
    )
    assert setting.sizes == [2, 0]


async def test_damaged_mail_keeps_a_volume_from_passing_for_drained() -> None:
    """The fleet shrinks all the same."""
    setting = await Controlled.of(2)
    setting.queues = {1: {"damaged": 1}}
    await setting.change(replicas=1)
    await setting.settle()

    assert (await setting.size(), await setting.noted(1)) == (1, ("0", "unknown"))


async def test_mail_that_a_smaller_fleet_left_is_told() -> None:
    """From zero only some of the pods come back: the others' mail goes on sleeping."""
    setting = await Controlled.of(2)
    setting.queues = {1: BACKLOG}
    await setting.settle()
    await setting.change(replicas=0)
    await setting.settle()

    await setting.change(replicas=1)
    await setting.settle()

    assert await setting.condition("Ready") == (
        "True",
        "PodsReady",
        "1 of 1 pods ready; volumes without a pod hold 12 messages, by their last count",
    )


async def test_a_drained_volume_is_drained_no_longer_before_a_pod_uses_it() -> None:
    """An operator that dies in between leaves nothing untrue."""
    setting = await Controlled.of(2)
    await setting.change(replicas=1)
    await setting.settle()
    assert (await setting.noted(1))[1] == "true"
    setting.cluster.calls.clear()

    await setting.change(replicas=2)
    await setting.reconcile(KEY)

    assert (await setting.noted(1))[1] == "unknown"
    written = [call.kind for call in setting.cluster.calls if call.verb == "patch" and call.kind in (VOLUME_CLAIM, STATEFUL_SET)]
    assert written == [VOLUME_CLAIM, STATEFUL_SET]


async def test_volumes_of_a_deleted_namesake_are_taken_up_again() -> None:
    """A gateway that is made anew finds its volumes, and says what sleeps on those that it does not use."""
    setting = await Controlled.of(2)
    setting.queues = {0: BACKLOG, 1: BACKLOG}
    setting.later(seconds=61)
    await setting.settle()
    claims = [await setting.get(VOLUME_CLAIM, f"spool-mail-{number}") for number in range(2)]
    setting = Controlled()
    setting.queues = {0: BACKLOG}
    await setting.given(*claims)
    await setting.given(resource(replicas=1))

    await setting.settle()

    assert "hold 12 messages" in (await setting.condition("Ready"))[2]


async def test_counts_are_written_at_most_once_a_minute() -> None:
    """They move with every mail."""
    setting = await Controlled.of(1)
    await setting.look()
    setting.queues = {0: {"messages": 5}}
    await setting.heed()
    await setting.look()
    assert await setting.noted(0) == ("0", "unknown")

    setting.later(seconds=61)
    await setting.look()
    assert await setting.noted(0) == ("5", "unknown")

    setting.cluster.calls.clear()
    setting.later(seconds=61)
    await setting.look()
    assert Call("patch", VOLUME_CLAIM) not in setting.cluster.calls


async def test_a_count_that_cannot_be_written_is_no_failure() -> None:
    """It is a courtesy as long as nothing depends on it."""
    setting = await Controlled.of(1)
    await setting.settle()
    setting.queues = {0: {"messages": 5}}
    await setting.heed()
    setting.later(seconds=61)
    setting.cluster.fail("patch", UnavailableError("busy"), VOLUME_CLAIM)

    await setting.look()

    assert await setting.noted(0) == ("0", "unknown")


async def test_an_operator_that_may_not_read_volume_claims_says_so() -> None:
    """A role of an earlier chart: nothing is changed, because nobody could say what is on the volumes."""
    setting = await Controlled.of(2)
    await setting.change(replicas=1)
    setting.cluster.fail("list", ForbiddenError("persistentvolumeclaims is forbidden"), VOLUME_CLAIM)

    assert await setting.put_off()

    assert (await setting.condition("Progressing"))[:2] == ("False", "Forbidden")
    assert await setting.size() == 2
