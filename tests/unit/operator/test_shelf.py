"""What is known of the objects of one kind when tellings of different age arrive in any order."""

from __future__ import annotations

import itertools

import pytest

from smtp_gateway_operator.cluster.api import Object, Snapshot, version_of
from smtp_gateway_operator.cluster.shelf import Shelf
from smtp_gateway_operator.names import INSTANCE_LABEL, Key

MAIL = Key("apps", "mail")
POD = Key("apps", "mail-0")


def pod(version: str, name: str = "mail-0", gateway: str = "mail") -> Object:
    """Return a pod of a gateway as it was at *version*."""
    return {"metadata": {"name": name, "namespace": "apps", "resourceVersion": version, "labels": {INSTANCE_LABEL: gateway}}}


def known(shelf: Shelf) -> int | None:
    """Return the version of the pod that is known; None when there is none."""
    body = shelf.get(POD)
    return None if body is None else version_of(body)


@pytest.mark.parametrize("order", list(itertools.permutations(["9", "10", "deleted 11", "12"])))
def test_the_order_of_arrival_does_not_matter(order: tuple[str, ...]) -> None:
    """Created, changed, deleted and created again: whatever is told last, the newest object is known in the end."""
    shelf = Shelf()

    for telling in order:
        word, _, version = telling.rpartition(" ")
        (shelf.drop if word else shelf.put)(pod(version))

    assert known(shelf) == 12


@pytest.mark.parametrize("order", list(itertools.permutations(["9", "10", "deleted 11"])))
def test_what_was_deleted_does_not_come_back(order: tuple[str, ...]) -> None:
    """An old telling that arrives after the deletion, such as the answer to a write that lost the race, is no news."""
    shelf = Shelf()

    for telling in order:
        word, _, version = telling.rpartition(" ")
        (shelf.drop if word else shelf.put)(pod(version))

    assert known(shelf) is None
    assert shelf.of(MAIL) == ()


def test_objects_are_found_by_their_gateway() -> None:
    """By the label, as it is now."""
    shelf = Shelf()
    shelf.put(pod("1", "mail-1"))
    shelf.put(pod("2", "mail-0"))
    shelf.put(pod("3", "mail-0", gateway="other"))

    assert [one["metadata"]["name"] for one in shelf.of(MAIL)] == ["mail-1"]
    assert [one["metadata"]["name"] for one in shelf.of(Key("apps", "other"))] == ["mail-0"]
    assert (len(shelf), shelf.of(Key("apps", "nobody"))) == (2, ())


def test_a_list_corrects_what_was_not_told() -> None:
    """Objects that it has are taken, those that it lacks are gone, and what is newer than the list stays."""
    shelf = Shelf()
    for version, name in (("1", "gone"), ("2", "changed"), ("9", "new"), ("3", "same")):
        shelf.put(pod(version, name))
    snapshot = Snapshot("8", (pod("7", "changed"), pod("3", "same"), pod("6", "missed")))

    missed, gone = shelf.corrected(snapshot, lambda *_: True)

    assert [one["metadata"]["name"] for one in missed] == ["changed", "missed"]
    assert [key.name for key in gone] == ["gone"]
    assert [key.name for key in shelf.everything()] == ["changed", "missed", "new", "same"]


def test_a_list_only_speaks_of_what_it_was_asked_for() -> None:
    """Objects that the list is not concerned with stay."""
    shelf = Shelf()
    shelf.put(pod("1", "other"))

    assert shelf.corrected(Snapshot("8", ()), lambda *_: False) == ([], [])
    assert len(shelf) == 1


def test_a_list_that_was_slow_brings_nothing_back() -> None:
    """What was deleted after the moment of the list stays gone, until lists are newer than the deletion."""
    shelf = Shelf()
    shelf.drop(pod("9"))

    assert shelf.corrected(Snapshot("8", (pod("7"),)), lambda *_: True) == ([], [])
    shelf.tidy("8")
    assert not shelf.put(pod("7"))
    shelf.tidy("9")
    assert shelf.put(pod("7"))


def test_versions_of_another_kind_are_taken_as_they_come() -> None:
    """A server whose versions are no numbers still works: the last telling counts."""
    shelf = Shelf()
    shelf.put(pod("b"))
    shelf.put(pod("a"))
    assert known(shelf) == 0
    shelf.drop(pod("c"))
    assert known(shelf) is None
    assert shelf.put(pod("d"))
