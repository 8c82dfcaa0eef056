"""A fleet whose pods are renewed, on a cluster in memory: well, badly, and while it is scaled."""

from __future__ import annotations

from smtp_gateway_operator.cluster.api import STATEFUL_SET
from tests.unit.operator.fleets import Controlled, scaled_in_with_mail
from tests.unit.operator.setting import KEY

OTHER = "example.com/smtp-gateway:2"


async def test_a_new_image_reaches_the_pods_one_by_one() -> None:
    """From the highest ordinal down, each only when the one before is ready; at rest nobody may be renewed."""
    setting = await Controlled.of(3)
    setting.runs(OTHER)
    seen = []
    for _ in range(12):
        await setting.reconcile(KEY)
        await setting.controlled()
        await setting.heed()
        seen.append([image == OTHER for image in await setting.revisions()])

    steps = [one for number, one in enumerate(seen) if number == 0 or one != seen[number - 1]]
    assert steps == [[False] * 3, [False, False, True], [False, True, True], [True] * 3]
    assert (await setting.get(STATEFUL_SET))["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 3}
    assert (await setting.condition("Ready"))[0] == "True"


async def test_a_broken_image_stops_at_the_first_pod_is_told_and_taken_back() -> None:
    """The others go on; the status has the pod's own reason, calls it stalled after a minute, and ends well when the change is undone."""
    setting = await Controlled.of(3)
    setting.broken = OTHER
    setting.runs(OTHER)
    await setting.settle()

    assert [image == OTHER for image in await setting.revisions()] == [False, False, True]
    assert await setting.condition("Progressing") == ("True", "RollingOut", "2 of 3 pods ready; mail-2: ImagePullBackOff")
    setting.later(seconds=61)
    await setting.look()
    assert (await setting.condition("Progressing"))[:2] == ("False", "RolloutStalled")
    assert "mail-2: ImagePullBackOff" in (await setting.condition("Progressing"))[2]
    assert ("Warning", "RolloutStalled") in setting.reasons()

    setting.runs("example.com/smtp-gateway:1")
    await setting.settle()
    assert OTHER not in await setting.revisions()
    assert (await setting.condition("Progressing"))[:2] == ("False", "Complete")
    assert (await setting.condition("Ready"))[0] == "True"


async def test_a_rollout_and_a_scale_in_at_once_end_well() -> None:
    """The pods that drain are not ready and hold up the rollout; it goes on when they are gone."""
    setting = await scaled_in_with_mail()
    setting.runs(OTHER)
    await setting.settle()
    assert await setting.revisions() == ["example.com/smtp-gateway:1", "example.com/smtp-gateway:1", OTHER]
    assert (await setting.condition("Progressing"))[:2] == ("True", "Draining")

    setting.queues.clear()
    await setting.settle()
    assert await setting.revisions() == [OTHER]
    assert (await setting.condition("Progressing"))[:2] == ("False", "Complete")


async def test_scaling_out_reaches_the_fleet_at_once() -> None:
    """Growing waits for nothing."""
    setting = await Controlled.of(1)
    await setting.change(replicas=4)
    await setting.settle()

    assert setting.sizes == [1, 4]
    assert (await setting.get(STATEFUL_SET))["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 4}
