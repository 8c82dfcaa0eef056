"""Changes of a gateway under a steady stream of mail: of its configuration, its image, its volumes. Nothing that was acknowledged is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fleets import arrive, notes, progress, uids
from tests.support.gateways import Gateway
from tests.support.stream import Stream
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kube import Kube

WITHIN = 180
"""Seconds for one change; most take a few."""


@pytest.fixture
def changed(gateway: Gateway) -> Iterator[Gateway]:
    """A gateway of two pods of its own."""
    changed = Gateway(gateway.kube, "changed", gateway.smarthost)
    changed.create(replicas=2)
    yield changed
    changed.delete()


def uid(gateway: Gateway, kind: str, name: str) -> str:
    """Return the uid of an object."""
    return str(gateway.kube.get(kind, name)["metadata"]["uid"])


@pytest.mark.lab
@pytest.mark.timeout(600)
def test_volumes_that_cannot_grow_are_told_and_nothing_else_stops(changed: Gateway, sink: Kube) -> None:
    """The StatefulSet is made anew without its pods and volumes, and mail flows all the while; the old size makes all well again."""
    claims = [f"spool-{changed.name}-{number}" for number in range(2)]
    before = uids(changed), [uid(changed, "pvc", claim) for claim in claims], uid(changed, "statefulset", changed.name)
    with Stream(changed, "grown") as stream:
        changed.kube.apply(changed.manifest(replicas=2, spool={"volume": {"size": "100Gi"}})[1])
        eventually_sync(lambda: progress(changed)[:2] == ("False", "VolumesCannotGrow"), within=WITHIN, what="it says so", pause=0.5)
        sentence = progress(changed)[2]
        changed.wait("condition=Ready")
        taken = len(stream.acknowledged)
        eventually_sync(lambda: len(stream.acknowledged) > taken, within=60, what="mail flows", pause=0.5)
        changed.kube.apply(changed.manifest(replicas=2)[1])
        eventually_sync(lambda: progress(changed)[:2] == ("False", "Complete"), within=WITHIN, what="all is well again", pause=0.5)
    arrive(stream, sink)

    assert sentence.startswith("spec.spool.volume.size is 100Gi, and volumes keep their size: spool-changed-0 has ")
    assert "only dynamically provisioned pvc can be resized" in sentence
    assert (uids(changed), [uid(changed, "pvc", claim) for claim in claims]) == before[:2]
    assert uid(changed, "statefulset", changed.name) != before[2]
    assert stream.refused == 0
    assert notes(changed, 0)["drained"] == "unknown"
