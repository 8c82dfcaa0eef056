"""What the port `Cluster` promises: one set of tests for the real API server and for its twin.

Objects of the contract that the other tests need no cluster for: Secrets, Services, StatefulSets without pods, pods without a node.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from smtp_gateway_operator.cluster.api import (
    EVENT,
    GATEWAY,
    POD,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    VOLUME_CLAIM,
    Cluster,
    ConflictError,
    ImmutableError,
    Kind,
    NotFoundError,
    Object,
    Ref,
    RejectedError,
    ref_of,
)
from smtp_gateway_operator.cluster.children import Children, OwnershipError
from smtp_gateway_operator.names import Key, Owner, metadata

if TYPE_CHECKING:
    from collections.abc import Mapping


class Space:
    """A namespace of the test's own in some cluster."""

    def __init__(self, cluster: Cluster, others: Cluster, namespace: str) -> None:
        """Use *namespace*, which is empty. *others* is the same cluster in the hands of somebody else."""
        self.cluster = cluster
        self.others = others
        self.namespace = namespace
        self.told: list[str] = []

    def secret(self, name: str = "one", data: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None) -> Object:
        """Return a Secret; *data* is base64."""
        metadata = {"name": name, "namespace": self.namespace, "labels": dict(labels or {})}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": dict(data or {"a": "YQ=="})}

    def service(self, *ports: int) -> Object:
        """Return a Service without pods."""
        numbers = [{"name": f"smtp-{port}", "port": port, "targetPort": port, "protocol": "TCP"} for port in ports]
        spec = {"type": "ClusterIP", "selector": {"app": "nothing"}, "ports": numbers}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one", "namespace": self.namespace}, "spec": spec}

    def workload(self, image: str = "example.com/none:1", *ports: int) -> Object:
        """Return a StatefulSet of no pods."""
        numbers = [{"containerPort": port, "protocol": "TCP"} for port in ports]
        template = {"metadata": {"labels": {"app": "one"}}, "spec": {"containers": [{"name": "main", "image": image, "ports": numbers}]}}
        spec = {"replicas": 0, "serviceName": "one", "selector": {"matchLabels": {"app": "one"}}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "one", "namespace": self.namespace}, "spec": spec}

    def claim(self) -> Object:
        """Return a claim of a class that nobody provisions."""
        spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "nobody", "resources": {"requests": {"storage": "1Gi"}}}
        metadata = {"name": "one", "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}

    def pod(self) -> Object:
        """Return a pod that no scheduler looks at."""
        container = {"name": "main", "image": "example.com/none:1"}
        spec = {"schedulerName": "nobody", "automountServiceAccountToken": False, "containers": [container]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": self.namespace}, "spec": spec}

    async def get(self, ref: Ref) -> Object:
        """Return an object that must be there."""
        found = await self.cluster.get(ref)
        assert found is not None
        return found

    def ref(self, kind: Kind, name: str = "one") -> Ref:
        """Return an object of the namespace."""
        return Ref(kind, self.namespace, name)

    async def note(self, _: Owner, sentence: str) -> None:
        """Keep what is told of a child that was made anew."""
        self.told.append(sentence)

    async def children(self) -> tuple[Children, Owner, Object]:
        """Return what brings children about, the owner of one, and that child: a Service.

        The owner exists, because the garbage collector of a real cluster would take the children of one that does not.
        """
        meta = {"name": "one", "namespace": self.namespace}
        spec = {"hostname": "mail.example.com"}
        stored = await self.cluster.create({"apiVersion": GATEWAY.api_version, "kind": GATEWAY.name, "metadata": meta, "spec": spec})
        owner = Owner(self.namespace, "one", stored["metadata"]["uid"])
        return Children(self.cluster, self.note), owner, self.service(25) | {"metadata": metadata(owner, "one")}


def with_uid(body: Object, stored: Object) -> Object:
    """Return *body* as it is applied to *stored*."""
    return {**body, "metadata": body["metadata"] | {"uid": stored["metadata"]["uid"]}}


async def made_anew(children: Children, owner: Owner, wanted: Object) -> Object:
    """Return the child once the garbage collector has let go of the old one; as the work queue does, try until then."""
    for _ in range(100):
        try:
            return await children.bring_about(owner, wanted, await children.live(owner))
        except ConflictError:
            await asyncio.sleep(0.1)
    pytest.fail("the old one is still there")


class ClusterContract:
    """To be inherited by a class in whose module a fixture `space` is."""

    async def test_an_object_is_stored_and_found(self, space: Space) -> None:
        """What was created is there, with a uid and a version; what was not is None."""
        stored = await space.cluster.create(space.secret())

        assert await space.get(space.ref(SECRET)) == stored
        assert stored["metadata"]["uid"]
        assert stored["metadata"]["resourceVersion"]
        assert await space.cluster.get(space.ref(SECRET, "other")) is None
        assert await space.cluster.get(space.ref(GATEWAY, "other")) is None

    async def test_a_name_is_taken_once(self, space: Space) -> None:
        """A second creation is a conflict and changes nothing."""
        stored = await space.cluster.create(space.secret())

        with pytest.raises(ConflictError, match="already exists"):
            await space.cluster.create(space.secret(data={"b": "Yg=="}))
        assert await space.get(space.ref(SECRET)) == stored

    async def test_lists_are_by_kind_namespace_and_labels(self, space: Space) -> None:
        """Only objects with every label are listed, and each says what it is."""
        await space.cluster.create(space.secret("one", labels={"a": "1", "b": "2"}))
        await space.cluster.create(space.secret("two", labels={"a": "1"}))

        found = await space.cluster.list(SECRET, space.namespace, {"a": "1", "b": "2"})
        everywhere = await space.cluster.list(SECRET, None, {"a": "1"})

        assert [ref_of(one) for one in found] == [space.ref(SECRET, "one")]
        assert {ref_of(one) for one in everywhere} >= {space.ref(SECRET, "one"), space.ref(SECRET, "two")}
        assert await space.cluster.list(SERVICE, space.namespace, {"a": "1"}) == ()

    async def test_applying_what_is_there_changes_nothing(self, space: Space) -> None:
        """The resource version moves with the first application that differs, and not with the next."""
        stored = await space.cluster.create(space.secret(data={"a": "YQ=="}))  # no controller writes to it meanwhile
        changed = with_uid(space.secret(data={"a": "Yg=="}), stored)
        first = await space.cluster.apply(changed)

        second = await space.cluster.apply(changed)

        assert first["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]
        assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]

    async def test_applying_what_is_there_keeps_the_generation(self, space: Space) -> None:
        """The generation moves with what is wanted, not with each application."""
        stored = await space.cluster.create(space.workload())
        changed = with_uid(space.workload("example.com/none:2"), stored)
        await space.cluster.apply(changed)

        second = await space.cluster.apply(changed)

        assert (stored["metadata"]["generation"], second["metadata"]["generation"]) == (1, 2)

    async def test_applying_takes_fields_from_others(self, space: Space) -> None:
        """What somebody else changed becomes what is applied, and what somebody else added stays."""
        stored = await space.cluster.create(space.secret(data={"a": "YQ=="}))
        await space.others.patch(space.ref(SECRET), {"data": {"a": "eA==", "theirs": "eQ=="}})

        applied = await space.cluster.apply(with_uid(space.secret(data={"a": "YQ=="}), stored))

        assert applied["data"] == {"a": "YQ==", "theirs": "eQ=="}

    async def test_applying_removes_what_was_applied_before(self, space: Space) -> None:
        """A field that is left out goes, if it came by an application."""
        stored = await space.cluster.create(space.secret())
        await space.cluster.apply(with_uid(space.secret(data={"a": "YQ==", "b": "Yg=="}), stored))

        applied = await space.cluster.apply(with_uid(space.secret(data={"a": "YQ=="}), stored))

        assert applied["data"] == {"a": "YQ=="}

    async def test_applying_to_another_object_is_a_conflict(self, space: Space) -> None:
        """An object that took the name since is not hit, and nothing is created in the place of one that is gone."""
        stored = await space.cluster.create(space.secret())
        await space.cluster.delete(space.ref(SECRET), stored["metadata"]["uid"])
        with pytest.raises(ConflictError):
            await space.cluster.apply(with_uid(space.secret(), stored))

        successor = await space.cluster.create(space.secret())
        with pytest.raises(ConflictError):
            await space.cluster.apply(with_uid(space.secret(data={"b": "Yg=="}), stored))
        assert await space.get(space.ref(SECRET)) == successor

    async def test_a_field_that_cannot_be_changed_is_refused_as_such(self, space: Space) -> None:
        """It is another refusal than that of a wrong value: with another object it could be had."""
        workload, secret = await space.cluster.create(space.workload()), await space.cluster.create(space.secret())
        changed = space.workload()
        changed["spec"]["serviceName"] = "other"

        with pytest.raises(ImmutableError):
            await space.cluster.apply(with_uid(changed, workload))
        with pytest.raises(ImmutableError):
            await space.cluster.apply(with_uid(space.secret() | {"type": "example.com/other"}, secret))
        assert (await space.get(space.ref(STATEFUL_SET)))["spec"] == workload["spec"]

    async def test_a_workload_is_made_anew_and_leaves_its_pods(self, space: Space) -> None:
        """A StatefulSet that cannot be changed is deleted without its pods and made again, with one sentence about it."""
        children, owner, _ = await space.children()
        wanted = space.workload() | {"metadata": metadata(owner, "one")}
        before = await children.bring_about(owner, wanted, {})
        wanted["spec"]["serviceName"] = "other"

        after = await made_anew(children, owner, wanted)

        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert after["spec"]["serviceName"] == "other"
        (sentence,) = space.told
        assert sentence.startswith("StatefulSet one is made anew, because a field of it cannot be changed: ")

    async def test_a_secret_is_never_made_anew(self, space: Space) -> None:
        """What cannot be changed there stays as it is."""
        children, owner, _ = await space.children()
        wanted = space.secret() | {"metadata": metadata(owner, "one")}
        before = await children.bring_about(owner, wanted, {})

        with pytest.raises(ImmutableError):
            await children.bring_about(owner, wanted | {"type": "example.com/other"}, await children.live(owner))
        assert (await space.get(space.ref(SECRET)))["metadata"]["uid"] == before["metadata"]["uid"]
        assert space.told == []

    async def test_a_patch_merges_and_checks(self, space: Space) -> None:
        """None removes a field; another uid or an old version is a conflict; an object that is gone is not found."""
        stored = await space.cluster.create(space.secret(data={"a": "YQ==", "b": "Yg=="}))
        version = {"uid": stored["metadata"]["uid"], "resourceVersion": stored["metadata"]["resourceVersion"]}

        patched = await space.cluster.patch(space.ref(SECRET), {"metadata": version, "data": {"a": None}})

        assert patched["data"] == {"b": "Yg=="}
        with pytest.raises(ConflictError):
            await space.cluster.patch(space.ref(SECRET), {"metadata": version, "data": {"b": None}})
        with pytest.raises(NotFoundError):
            await space.cluster.patch(space.ref(SECRET, "other"), {"data": {}})

    async def test_a_claim_that_cannot_grow_is_left_as_it_is(self, space: Space) -> None:
        """One without a volume is refused another size; other fields of it can be changed, and the same size is no change."""
        await space.cluster.create(space.claim())

        with pytest.raises(RejectedError, match="for bound claims"):
            await space.cluster.patch(space.ref(VOLUME_CLAIM), {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
        same = {"metadata": {"annotations": {"a": "b"}}, "spec": {"resources": {"requests": {"storage": "1024Mi"}}}}
        patched = await space.cluster.patch(space.ref(VOLUME_CLAIM), same)

        assert patched["metadata"]["annotations"]["a"] == "b"

    async def test_a_deletion_hits_the_object_that_was_meant(self, space: Space) -> None:
        """Another uid is a conflict; what is gone already is fine."""
        stored = await space.cluster.create(space.secret())
        with pytest.raises(ConflictError):
            await space.cluster.delete(space.ref(SECRET), "11111111-2222-3333-4444-555555555555")

        await space.cluster.delete(space.ref(SECRET), stored["metadata"]["uid"])
        await space.cluster.delete(space.ref(SECRET), stored["metadata"]["uid"])

        assert await space.cluster.get(space.ref(SECRET)) is None

    async def test_the_status_is_merged_and_nothing_else(self, space: Space) -> None:
        """Fields of the status are set one by one, the spec stays, and no generation moves."""
        await space.cluster.create(space.pod())
        await space.cluster.patch_status(space.ref(POD), {"message": "one", "reason": "Testing"})

        await space.cluster.patch_status(space.ref(POD), {"message": "two"})

        found = await space.get(space.ref(POD))
        assert (found["status"]["message"], found["status"]["reason"]) == ("two", "Testing")
        assert found["spec"]["schedulerName"] == "nobody"
        with pytest.raises(NotFoundError):
            await space.cluster.patch_status(space.ref(POD, "other"), {"message": "two"})

    async def test_other_writes_leave_the_status_alone(self, space: Space) -> None:
        """The status is a subresource: an object is created without, and an application does not reset it."""
        stored = await space.cluster.create(space.pod() | {"status": {"message": "mine"}})
        assert stored.get("status", {}).get("message") is None
        await space.cluster.patch_status(space.ref(POD), {"message": "one"})

        labelled = await space.cluster.patch(space.ref(POD), {"metadata": {"labels": {"a": "b"}}})

        assert labelled["status"]["message"] == "one"

    async def test_an_event_that_cannot_be_recorded_is_no_failure(self, space: Space) -> None:
        """An Event is a courtesy: in a namespace that is gone it is lost, and nothing else."""
        event = {"apiVersion": EVENT.api_version, "kind": EVENT.name, "metadata": {"generateName": "one.", "namespace": "not-there"}}

        await space.cluster.record_event(event | {"involvedObject": {}, "reason": "Testing", "type": "Normal"})

    async def test_what_a_child_was_created_with_can_be_removed(self, space: Space) -> None:
        """A port that the creation set goes with the first application without it, and a foreign annotation stays."""
        children, owner, wanted = await space.children()
        await children.bring_about(owner, wanted | {"spec": space.service(25, 587)["spec"]}, {})
        await space.others.patch(space.ref(SERVICE), {"metadata": {"annotations": {"theirs": "stays"}}})
        live = await children.live(owner)

        stored = await children.bring_about(owner, wanted, live)

        assert [port["port"] for port in stored["spec"]["ports"]] == [25]
        assert stored["metadata"]["annotations"] == {"theirs": "stays"}

    async def test_additions_to_a_service_are_trimmed(self, space: Space) -> None:
        """A foreign port or selector label, which would lead mail astray, is removed, and the Service keeps its address."""
        children, owner, wanted = await space.children()
        before = await children.bring_about(owner, wanted, {})
        foreign = {"selector": {"theirs": "1"}, "ports": [*wanted["spec"]["ports"], {"name": "x", "port": 99, "protocol": "TCP"}]}
        await space.others.patch(space.ref(SERVICE), {"spec": foreign})

        after = await children.bring_about(owner, wanted, await children.live(owner))

        assert after["spec"]["selector"] == {"app": "nothing"}
        assert [port["port"] for port in after["spec"]["ports"]] == [25]
        assert after["metadata"]["uid"] == before["metadata"]["uid"]

    async def test_a_foreign_object_is_not_seized(self, space: Space) -> None:
        """An object of somebody else with a child's name stays as it is."""
        children, owner, wanted = await space.children()
        foreign = await space.cluster.create(space.service(99))

        with pytest.raises(OwnershipError):
            await children.bring_about(owner, wanted, await children.live(owner))
        assert await space.get(space.ref(SERVICE)) == foreign

    async def test_a_child_without_its_labels_is_found_by_name(self, space: Space) -> None:
        """It is still controlled by its owner, so it is labelled again and not fought over."""
        children, owner, wanted = await space.children()
        await children.bring_about(owner, wanted, {})
        await space.others.patch(space.ref(SERVICE), {"metadata": {"labels": None}})
        assert await children.live(owner) == {}

        await children.bring_about(owner, wanted, {})

        assert list(await children.live(owner)) == [space.ref(SERVICE)]

    async def test_what_is_not_wanted_is_pruned(self, space: Space) -> None:
        """A child that is not wanted goes; a Secret that is kept by name stays."""
        children, owner, wanted = await space.children()
        kept = space.secret("kept") | {"metadata": metadata(owner, "kept")}
        for one in (wanted, kept):
            await children.bring_about(owner, one, {})

        await children.prune(await children.live(owner), [], {"kept"})
        children.forget(Key(space.namespace, owner.name))

        assert list(await children.live(owner)) == [space.ref(SECRET, "kept")]
        assert await space.cluster.get(space.ref(STATEFUL_SET)) is None
