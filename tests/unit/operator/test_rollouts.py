"""Which pods may be renewed: a table of fleets, and rollouts played to their end against a StatefulSet controller of a few lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smtp_gateway_operator.steps.pods import Pod, pod_of, pods_by_ordinal
from smtp_gateway_operator.steps.rollouts import PATIENCE, Versions, partition_of, versions_of
from tests.unit.operator.setting import pod

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATELY = NOW - PATIENCE / 2
LONG_AGO = NOW - PATIENCE

OLD = Pod("old", ready=True)
NEW = Pod("new", ready=True)
OLD_STARTING = Pod("old", ready=False, since=LATELY)
OLD_BROKEN = Pod("old", ready=False, since=LONG_AGO)
NEW_STARTING = Pod("new", ready=False, since=LATELY)
NEW_BROKEN = Pod("new", ready=False, since=LONG_AGO)
BAD = Pod("bad", ready=False, since=LATELY)
GONE = None
"""A pod that is not there."""

REST = Versions("old", "old", 3, observed=True)
UNDERWAY = Versions("old", "new", 3, observed=True)
ANEW = Versions("new", "new", 3, observed=True)
"""What a StatefulSet says that was made anew, as for larger volumes, while a version was being rolled out: the one before is forgotten."""


def decide(versions: Versions | None, *pods: Pod | None) -> int:
    """Return the partition of a fleet of exactly these pods, from ordinal 0 on."""
    return partition_of(len(pods), versions, {number: one for number, one in enumerate(pods) if one is not None}, NOW)


@pytest.mark.parametrize(
    ("versions", "pods", "partition"),
    [
        # Nothing to renew: nobody may be.
        (None, (GONE, GONE), 2),
        (REST, (OLD, OLD, OLD), 3),
        (REST, (OLD, GONE, OLD_STARTING), 3),
        (REST, (), 0),
        # A new version: the highest first, and the next when it is ready.
        (UNDERWAY, (OLD, OLD, OLD), 2),
        (UNDERWAY, (OLD, OLD, NEW_STARTING), 2),
        (UNDERWAY, (OLD, OLD, NEW_BROKEN), 2),
        (UNDERWAY, (OLD, OLD, NEW), 1),
        (UNDERWAY, (OLD, NEW_STARTING, NEW), 1),
        (UNDERWAY, (OLD, NEW, NEW), 0),
        (UNDERWAY, (NEW, NEW, NEW), 0),
        # A renewed one that fails later holds the others up.
        (UNDERWAY, (OLD, NEW, NEW_BROKEN), 2),
        # A pod that is ready goes only when all others are.
        (UNDERWAY, (OLD_STARTING, OLD, OLD), 3),
        (UNDERWAY, (OLD_STARTING, OLD, NEW), 2),
        (UNDERWAY, (OLD_BROKEN, OLD, OLD), 2),
        (UNDERWAY, (OLD_BROKEN, OLD_BROKEN, NEW), 1),
        # One that is not ready costs nothing.
        (UNDERWAY, (OLD, OLD, OLD_STARTING), 2),
        (UNDERWAY, (OLD_STARTING, OLD_STARTING, OLD_STARTING), 2),
        (UNDERWAY, (OLD, OLD, GONE), 2),
        # A single pod.
        (UNDERWAY, (OLD,), 0),
        (UNDERWAY, (NEW_BROKEN,), 0),
        # A broken version taken back, and succeeded by another.
        (REST, (OLD, OLD, BAD), 2),
        (REST, (OLD, BAD, OLD), 1),
        (UNDERWAY, (OLD, OLD, BAD), 2),
        (UNDERWAY, (OLD, BAD, OLD), 2),
        (UNDERWAY, (OLD, BAD, NEW), 1),
        # Made anew meanwhile: the same rules hold for pods of a version that it has never heard of.
        (ANEW, (OLD, OLD, NEW), 1),
        (ANEW, (OLD_STARTING, OLD, NEW), 2),
        (ANEW, (OLD_BROKEN, OLD, NEW), 1),
        (ANEW, (OLD, OLD_STARTING, NEW), 1),
        # Scaled out while a version is being rolled out: new pods are of the new version unless that has proved broken.
        (UNDERWAY, (OLD, NEW, GONE), 2),
        (UNDERWAY, (OLD, NEW_BROKEN, GONE), 3),
    ],
)
def test_who_may_be_renewed(versions: Versions | None, pods: tuple[Pod | None, ...], partition: int) -> None:
    """The table is the specification."""
    assert decide(versions, *pods) == partition


@pytest.mark.parametrize(("partition", "size", "kept"), [(1, 3, 1), (None, 3, 3), (3, 2, 2)])
def test_nothing_moves_before_the_controller_has_seen_the_last_change(partition: int | None, size: int, kept: int) -> None:
    """Its word about versions is of the template before."""
    versions = Versions("old", "new", partition, observed=False)

    assert partition_of(size, versions, dict.fromkeys(range(size), OLD), NOW) == kept


def test_pods_that_go_with_a_scale_in_are_not_waited_for() -> None:
    """Pods beyond the size are not part of the fleet any more."""
    assert partition_of(2, UNDERWAY, {0: OLD, 1: OLD, 2: NEW_BROKEN}, NOW) == 1


class Fleet:
    """A StatefulSet controller for one rollout: it renews one pod at a time, from the top, and waits for those that are not ready."""

    def __init__(self, size: int, *, broken: str = "") -> None:
        """Start with a fleet of the version "old"; pods of the *broken* version never become ready."""
        self.pods = dict.fromkeys(range(size), OLD)
        self.versions = Versions("old", "old", size, observed=True)
        self.broken = broken
        self.renewed: list[tuple[int, str]] = []
        self.away = 0
        """The most pods that were not ready at a time."""

    def settle(self) -> None:
        """Let operator and controller take turns until neither does anything."""
        for _ in range(100):
            before = (dict(self.pods), self.versions)
            self.versions = replace(self.versions, partition=partition_of(len(self.pods), self.versions, self.pods, NOW))
            self._control()
            if (self.pods, self.versions) == before:
                return
        message = "it never settles"
        raise AssertionError(message)

    def scale(self, size: int) -> None:
        """Make or remove pods as the controller does: below the partition of the version before."""
        self.versions = replace(self.versions, partition=partition_of(size, self.versions, self.pods, NOW))
        made = {number: self._made(number) for number in range(size) if number not in self.pods}
        self.pods = {number: one for number, one in self.pods.items() if number < size} | made

    def _made(self, number: int) -> Pod:
        partition = self.versions.partition
        revision = self.versions.current if partition is not None and number < partition else self.versions.wanted
        return Pod(revision, ready=False, since=LATELY)

    def _control(self) -> None:
        for number, one in self.pods.items():
            if not one.ready and one.revision != self.broken:
                self.pods[number] = replace(one, ready=True, since=None)
                return
        for number in sorted(self.pods, reverse=True):
            if number < (self.versions.partition or 0):
                break
            if self.pods[number].revision != self.versions.wanted:
                self.pods[number] = Pod(self.versions.wanted, ready=False, since=LATELY)
                self.renewed.append((number, self.versions.wanted))
                self.away = max(self.away, sum(not one.ready for one in self.pods.values()))
                return
            if not self.pods[number].ready:
                return
        if all(one.ready and one.revision == self.versions.wanted for one in self.pods.values()):
            self.versions = replace(self.versions, current=self.versions.wanted)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_good_version_reaches_everybody_one_by_one(size: int) -> None:
    """From the top down, with one pod away at a time, and at rest again afterwards."""
    fleet = Fleet(size)
    fleet.versions = replace(fleet.versions, wanted="new")

    fleet.settle()

    assert fleet.renewed == [(number, "new") for number in reversed(range(size))]
    assert (fleet.away, fleet.versions) == (1, Versions("new", "new", size, observed=True))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_broken_version_stops_at_its_first_pod_and_is_taken_back(size: int) -> None:
    """Nobody else is touched, on the way there and on the way back."""
    fleet = Fleet(size, broken="bad")
    fleet.versions = replace(fleet.versions, wanted="bad")
    fleet.settle()
    assert fleet.renewed == [(size - 1, "bad")]

    fleet.versions = replace(fleet.versions, wanted="old")
    fleet.settle()

    assert fleet.renewed == [(size - 1, "bad"), (size - 1, "old")]
    assert set(fleet.pods.values()) == {OLD}
    assert (fleet.away, fleet.versions.partition) == (1, size)


def test_a_broken_version_is_succeeded_by_a_good_one() -> None:
    """Its only pod is the first that is renewed."""
    fleet = Fleet(3, broken="bad")
    fleet.versions = replace(fleet.versions, wanted="bad")
    fleet.settle()

    fleet.versions = replace(fleet.versions, wanted="new")
    fleet.settle()

    assert fleet.renewed == [(2, "bad"), (2, "new"), (1, "new"), (0, "new")]
    assert fleet.away == 1


def test_scaling_out_during_a_broken_rollout_makes_pods_of_the_version_before() -> None:
    """The fleet grows by pods that work, and the broken one stays the only one."""
    fleet = Fleet(2, broken="bad")
    fleet.versions = replace(fleet.versions, wanted="bad")
    fleet.settle()

    fleet.scale(4)
    fleet.settle()

    assert [fleet.pods[number].revision for number in range(4)] == ["old", "bad", "old", "old"]
    fleet.versions = replace(fleet.versions, wanted="new")
    fleet.settle()
    assert {one.revision for one in fleet.pods.values()} == {"new"}


def test_scaling_in_during_a_broken_rollout_lets_the_next_pod_try() -> None:
    """The pod that went had the highest ordinal, so the new version is tried at the one that has it now."""
    fleet = Fleet(3, broken="bad")
    fleet.versions = replace(fleet.versions, wanted="bad")
    fleet.settle()

    fleet.scale(2)
    fleet.settle()

    assert [fleet.pods[number].revision for number in range(2)] == ["old", "bad"]


def test_pods_are_read_as_they_say() -> None:
    """Revision, readiness, and since when; one that is being deleted is not ready, whatever it says."""
    stamp = "2026-03-01T11:00:00Z"
    one = pod("mail-1", conditions=[{"type": "Ready", "status": "True", "lastTransitionTime": stamp}])
    one["metadata"]["labels"] = {"controller-revision-hash": "mail-abc"}
    assert pod_of(one) == Pod("mail-abc", ready=True, since=NOW - timedelta(hours=1))

    one["metadata"]["deletionTimestamp"] = stamp
    assert not pod_of(one).ready

    new = pod("mail-0")
    new["metadata"]["creationTimestamp"] = stamp
    assert pod_of(new) == Pod("", ready=False, since=NOW - timedelta(hours=1))


def test_pods_of_other_names_are_nobody_of_the_fleet() -> None:
    """Labels alone make no member."""
    assert set(pods_by_ordinal("mail", [pod("mail-0"), pod("mail-old-1"), pod("mail-x"), pod("other-2"), pod("mail-12")])) == {0, 12}


def test_versions_are_read_from_the_statefulset() -> None:
    """What its controller says, and whether that is about the present template."""
    workload = {
        "metadata": {"generation": 2},
        "spec": {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
        "status": {"observedGeneration": 2, "currentRevision": "a", "updateRevision": "b"},
    }

    assert versions_of(workload) == Versions("a", "b", 1, observed=True)
    assert versions_of({"metadata": {"generation": 1}, "spec": {}}) == Versions("", "", None, observed=False)
