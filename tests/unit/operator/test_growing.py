"""Volumes whose size is changed, on a cluster in memory: they grow where they can, and nothing else stops where they cannot."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway_operator.cluster.api import POD, STATEFUL_SET, VOLUME_CLAIM, UnavailableError
from smtp_gateway_operator.cluster.memory import Call
from smtp_gateway_operator.steps.growing import Extent, extents, to_change
from tests.unit.operator.fleets import Controlled, scaled_in_with_mail
from tests.unit.operator.setting import KEY, ref, resource

REFUSAL = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"


def sized(size: str) -> dict[str, Any]:
    """Return the field of the spec."""
    return {"volume": {"size": size}}


async def requests(setting: Controlled) -> list[str]:
    """Return what each claim requests, in the order of pods."""
    claims = await setting.cluster.list(VOLUME_CLAIM, KEY.namespace)
    return [claim["spec"]["resources"]["requests"]["storage"] for claim in claims]


async def uids(setting: Controlled) -> list[str]:
    """Return the uid of each pod and each claim."""
    found = [one for kind in (POD, VOLUME_CLAIM) for one in await setting.cluster.list(kind, KEY.namespace)]
    return [one["metadata"]["uid"] for one in found]


async def resized(setting: Controlled, number: int, size: str, *conditions: dict[str, str]) -> None:
    """Do to one volume what its provisioner does."""
    claim = ref(VOLUME_CLAIM, f"spool-mail-{number}")
    await setting.cluster.patch(claim, {"status": {"capacity": {"storage": size}, "conditions": list(conditions) or None}})


async def test_volumes_grow_under_their_pods() -> None:
    """Every claim requests more, the StatefulSet is made anew for pods to come, and no pod and no volume is."""
    setting = await Controlled.of(2)
    setting.cluster.expandable = {None}
    before = await uids(setting)

    await setting.change(spool=sized("2Gi"))
    await setting.settle()

    assert await requests(setting) == ["2Gi", "2Gi"]
    assert await uids(setting) == before
    assert (await setting.get(STATEFUL_SET))["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "2Gi"
    assert setting.cluster.orphaned == [ref(STATEFUL_SET)]
    assert ("Normal", "MadeAnew") in setting.reasons()


async def test_the_status_says_how_far_they_are() -> None:
    """First that they are being resized, with the claim's own words; then nothing. Ready is True all the while."""
    setting = await Controlled.of(2)
    setting.cluster.expandable = {None}
    await setting.change(spool=sized("2Gi"))
    await setting.settle()
    await resized(setting, 0, "2Gi")
    waiting = {"type": "FileSystemResizePending", "status": "True", "message": "Waiting for user to (re-)start a pod"}
    await resized(setting, 1, "1Gi", {"type": "Resizing", "status": "True"}, waiting)
    await setting.settle()

    message = (
        "spec.spool.volume.size is 2Gi, and volumes are being resized: "
        "spool-mail-1 has 1Gi: FileSystemResizePending: Waiting for user to (re-)start a pod"
    )
    assert await setting.condition("Progressing") == ("True", "ResizingVolumes", message)
    assert (await setting.condition("Ready"))[0] == "True"

    await resized(setting, 1, "2Gi")
    await setting.settle()

    assert (await setting.condition("Progressing"))[:2] == ("False", "Complete")


async def test_what_cannot_grow_is_told_and_nothing_else_stops() -> None:
    """The API server's words are in the condition; other changes are brought about, and new pods get the new size."""
    setting = await Controlled.of(1)

    await setting.change(spool=sized("2Gi"))
    await setting.settle()
    assert setting.reasons().count(("Warning", "VolumesCannotGrow")) == 1
    await setting.change(replicas=2, limits={"messageSize": "1Mi"})
    await setting.settle()

    status, reason, message = await setting.condition("Progressing")
    assert (status, reason) == ("False", "VolumesCannotGrow")
    assert message == (
        "spec.spool.volume.size is 2Gi, and volumes keep their size: "
        f'spool-mail-0 has 1Gi: persistentvolumeclaims "spool-mail-0" is forbidden: {REFUSAL}'
    )
    assert (await setting.condition("Ready"))[0] == "True"
    assert await requests(setting) == ["1Gi", "2Gi"]
    assert (await setting.config())["limits"]["messageSize"] == 2**20


async def test_a_refusal_is_not_asked_for_again_at_once() -> None:
    """Every five minutes is enough to learn that a class was changed; then the volume grows, and the status has nothing to say."""
    setting = await Controlled.of(1)
    await setting.change(spool=sized("2Gi"))
    await setting.settle()
    setting.cluster.calls.clear()
    setting.later(minutes=4)
    await setting.reconcile(KEY)
    assert Call("patch", VOLUME_CLAIM) not in setting.cluster.calls

    setting.cluster.expandable = {None}
    setting.later(minutes=2)
    await setting.settle()
    await resized(setting, 0, "2Gi")
    await setting.settle()

    assert await requests(setting) == ["2Gi"]
    assert (await setting.condition("Progressing"))[:2] == ("False", "Complete")


async def test_volumes_never_shrink_and_the_status_says_so() -> None:
    """A lower size is for pods to come; the claims stay as they are, and nobody is asked for what cannot be."""
    setting = await Controlled.of(1)
    setting.cluster.expandable = {None}
    setting.cluster.calls.clear()

    await setting.change(spool=sized("512Mi"))
    await setting.settle()

    message = "spec.spool.volume.size is 512Mi, and volumes that are larger stay so: spool-mail-0 has 1Gi"
    assert await setting.condition("Progressing") == ("False", "VolumesCannotShrink", message)
    assert (await setting.condition("Ready"))[0] == "True"
    assert await requests(setting) == ["1Gi"]


async def test_a_size_that_cannot_be_had_can_be_taken_back() -> None:
    """What was requested and never came is no larger volume."""
    setting = await Controlled.of(1)
    setting.cluster.expandable = {None}
    await setting.change(spool=sized("2Ti"))
    await setting.settle()
    failed = {"type": "ControllerResizeError", "status": "True", "message": "quota exceeded"}
    await resized(setting, 0, "1Gi", failed)
    await setting.settle()
    assert "ControllerResizeError: quota exceeded" in (await setting.condition("Progressing"))[2]

    await setting.change(spool=sized("2Gi"))
    await setting.settle()

    assert await requests(setting) == ["2Gi"]
    assert (await setting.condition("Progressing"))[1] == "ResizingVolumes"


async def test_volumes_without_a_pod_grow_when_they_have_one_again() -> None:
    """Many are resized to the end only when they are mounted; until then the status would say that it goes on."""
    setting = await Controlled.of(2)
    setting.cluster.expandable = {None}
    await setting.change(replicas=1)
    await setting.settle()
    await setting.change(spool=sized("2Gi"))
    await setting.settle()
    assert await requests(setting) == ["2Gi", "1Gi"]

    await setting.change(replicas=2)
    await setting.settle()

    assert await requests(setting) == ["2Gi", "2Gi"]


async def test_a_request_without_an_answer_is_made_again() -> None:
    """Nobody knows what became of it, so the reconcile is tried again, and says nothing untrue."""
    setting = await Controlled.of(1)
    setting.cluster.expandable = {None}
    await setting.change(spool=sized("2Gi"))
    setting.cluster.fail("patch", UnavailableError("timeout"), VOLUME_CLAIM)

    assert await setting.put_off()
    await setting.settle()

    assert await requests(setting) == ["2Gi"]


async def test_a_workload_made_anew_is_as_large_as_the_one_before() -> None:
    """Between the two the fleet that drains has only its pods to be known by: none of them goes with its mail."""
    setting = await scaled_in_with_mail()
    assert await setting.size() == 3
    workload = await setting.get(STATEFUL_SET)
    await setting.cluster.delete(ref(STATEFUL_SET), workload["metadata"]["uid"], "Orphan")

    await setting.settle()

    assert await setting.size() == 3
    setting.queues.clear()
    await setting.settle()
    assert await setting.size() == 1


async def test_pods_of_a_namesake_are_not_taken_for_the_fleet() -> None:
    """Those that somebody controls go with him."""
    setting = Controlled()
    reference = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "mail", "uid": "another", "controller": True}
    other = await Controlled.of(2)
    for one in await other.cluster.list(POD, KEY.namespace):
        await setting.given({**one, "metadata": one["metadata"] | {"ownerReferences": [reference]}})
    await setting.given(*(await other.cluster.list(VOLUME_CLAIM, KEY.namespace)))
    await setting.given(resource(replicas=1))

    await setting.reconcile(KEY)

    assert await setting.size() == 1


@pytest.mark.parametrize(
    ("requested", "capacity", "wanted", "expected"),
    [
        ("1Gi", "1Gi", "1024Mi", (False, False, True)),
        ("1Gi", "1Gi", "2Gi", (True, False, True)),
        ("1Gi", "10Gi", "5Gi", (False, False, True)),  # as large already, because whoever provisions rounds up
        ("2Gi", "1Gi", "2Gi", (False, False, False)),
        ("1Ti", "1Gi", "2Gi", (True, False, False)),  # never came
        ("2Gi", "2Gi", "1Gi", (False, True, True)),
        ("2Gi", "10Gi", "1Gi", (False, True, True)),
    ],
)
def test_what_is_to_be_done_with_a_volume(requested: str, capacity: str, wanted: str, expected: tuple[bool, bool, bool]) -> None:
    """By what its claim requests, what it has, and what is wanted: whether the request is changed, it is too large, and large enough."""
    extent = Extent(requested, capacity, "")

    assert (extent.differs(wanted), extent.is_larger(wanted), extent.is_met()) == expected


def test_claims_that_say_nothing_are_left() -> None:
    """One that is not bound has no volume yet, and one without a size has nothing to compare."""
    sizes = {"resources": {"requests": {"storage": "1Gi"}}}
    claims: dict[int, dict[str, Any]] = {
        0: {"spec": sizes, "status": {"phase": "Pending", "capacity": {"storage": "1Gi"}}},
        1: {"spec": {}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}},
        2: {"spec": sizes, "status": {"phase": "Bound"}},
        3: {"spec": sizes, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}},
    }

    assert to_change(claims, 4, "2Gi") == (3,)
    assert list(extents(claims, 3)) == []
