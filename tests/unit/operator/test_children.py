"""Children through the port: what is trimmed, how a creation becomes an application, and what is remembered."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from smtp_gateway_operator.cluster.api import SERVICE_ACCOUNT, ConflictError, Object, Ref
from smtp_gateway_operator.cluster.children import Children, additions, creation_as_application
from smtp_gateway_operator.cluster.fields import patched
from smtp_gateway_operator.cluster.memory import MemoryCluster
from smtp_gateway_operator.desired.configuration import config_secrets
from smtp_gateway_operator.desired.identity import service_account
from smtp_gateway_operator.desired.network import client_service
from smtp_gateway_operator.desired.workload import stateful_set
from smtp_gateway_operator.names import OPERATOR, Key, Owner
from smtp_gateway_operator.spec import to_config
from tests.unit.operator.setting import IMAGES, OWNER, gateway

SPEC = gateway().spec
SERVICE = client_service(OWNER, SPEC.listeners, SPEC.service)
PORTS = SERVICE["spec"]["ports"]
(SECRET,) = config_secrets(OWNER, to_config(gateway(), ()))
WORKLOAD = stateful_set(OWNER, SPEC, IMAGES)
ACCOUNT = service_account(OWNER)
VERSION = {"uid": "uid-7", "resourceVersion": "7"}


def stored(desired: Object, change: Object | None = None) -> Object:
    """Return *desired* as the API server has it, after somebody's *change*."""
    changed: Object = patched(copy.deepcopy(desired), change or {})
    return changed | {"metadata": changed["metadata"] | VERSION}


@pytest.mark.parametrize(
    ("desired", "change", "patch"),
    [
        (SECRET, {"data": {"theirs": "eA==", "config.9.part": "eA=="}}, {"data": {"theirs": None, "config.9.part": None}}),
        (SERVICE, {"spec": {"selector": {"theirs": "1"}}}, {"spec": {"selector": {"theirs": None}}}),
        (SERVICE, {"spec": {"ports": [*PORTS, {"port": 99}]}}, {"spec": {"ports": PORTS}}),
        (SERVICE, {"spec": {"ports": [*PORTS, PORTS[0] | {"protocol": "UDP"}]}}, {"spec": {"ports": PORTS}}),
        (
            SERVICE,
            {"spec": {"selector": {"theirs": "1"}, "ports": [*PORTS, {"port": 99}]}},
            {"spec": {"selector": {"theirs": None}, "ports": PORTS}},
        ),
    ],
)
def test_additions_that_lead_mail_astray_are_trimmed(desired: Object, change: Object, patch: Object) -> None:
    """The patch removes what was added, from the very version that was looked at, and what it leaves is as wanted."""
    present = stored(desired, change)

    assert additions(present, desired) == {"metadata": VERSION} | patch
    assert additions(patched(present, patch), desired) is None


@pytest.mark.parametrize(
    ("desired", "change"),
    [
        (SECRET, {}),
        (SECRET, {"metadata": {"annotations": {"theirs": "1"}, "labels": {"theirs": "1"}}}),
        (SERVICE, {}),
        (SERVICE, {"metadata": {"annotations": {"theirs": "1"}}, "spec": {"clusterIP": "192.0.2.1", "sessionAffinity": "None"}}),
        (SERVICE, {"spec": {"ports": [port | {"nodePort": 30000} for port in PORTS]}}),
        (WORKLOAD, {"spec": {"template": {"metadata": {"annotations": {"restartedAt": "now"}}}}}),
        (ACCOUNT, {"imagePullSecrets": [{"name": "theirs"}]}),
    ],
)
def test_other_additions_are_tolerated(desired: Object, change: Object) -> None:
    """Defaults of the API server, and what meshes, injectors and people add beside what is wanted, stays."""
    assert additions(stored(desired, change), desired) is None


def entry(operation: str, manager: str = OPERATOR, **more: Any) -> Object:
    """Return one of an object's managed fields."""
    return {"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}}} | more


def managed(*entries: Object) -> Object:
    """Return an object whose fields were set as *entries* say."""
    return {"metadata": VERSION | {"name": "mail", "managedFields": list(entries)}}


def test_the_fields_of_a_creation_become_applied_ones() -> None:
    """Only our own entry changes, in the very version that was looked at: those of others and of the status are handed back as they are."""
    others = (entry("Update", "kubectl-edit"), entry("Update", subresource="status"), entry("Apply", "theirs"))

    patch = creation_as_application(managed(others[0], entry("Update"), *others[1:]))

    assert patch == {"metadata": VERSION | {"managedFields": [others[0], entry("Apply"), *others[1:]]}}


@pytest.mark.parametrize(
    "present",
    [
        managed(entry("Apply")),
        managed(entry("Apply"), entry("Update")),
        managed(entry("Update", "kubectl-edit")),
        managed(entry("Update", subresource="status")),
        managed(),
        {"metadata": {}},
    ],
)
def test_fields_that_are_applied_already_are_left(present: Object) -> None:
    """It is done once: a later edit in the operator's name is not mistaken for the creation."""
    assert creation_as_application(present) is None


class Fleet:
    """The ServiceAccounts of several gateways, brought about again and again."""

    def __init__(self) -> None:
        """Start with an empty cluster."""
        self.cluster = MemoryCluster()
        self.children = Children(self.cluster, self.told)

    async def told(self, _: Owner, sentence: str) -> None:
        """Nothing is made anew here."""
        raise AssertionError(sentence)

    async def bring_about(self, *keys: Key) -> list[Key]:
        """Bring about the account of each gateway, and return for which of them that took a write."""
        written = []
        for key in keys:
            owner = Owner(*key, f"uid-of-{key}")
            live = await self.children.live(owner)
            self.cluster.calls.clear()
            await self.children.bring_about(owner, service_account(owner), live)
            written += [key] if self.cluster.calls else []
        return written


async def test_forgetting_a_gateway_forgets_no_other() -> None:
    """Names that begin alike, and a namesake in another namespace, are other gateways: nothing is applied for them again."""
    fleet = Fleet()
    mail, mailbox, elsewhere, longer = Key("apps", "mail"), Key("apps", "mailbox"), Key("other", "mail"), Key("apps", "mail-two")
    keys = (mail, mailbox, elsewhere, longer)
    assert await fleet.bring_about(*keys) == [*keys]
    assert await fleet.bring_about(*keys) == []

    fleet.children.forget(longer)
    assert await fleet.bring_about(*keys) == [longer]

    fleet.children.forget(mail)
    assert await fleet.bring_about(mail, mailbox, elsewhere) == [mail]


async def test_a_name_that_is_taken_and_free_again_is_tried_later() -> None:
    """When what stood in the way of a creation is gone at the next look, the conflict is passed on."""
    fleet = Fleet()
    fleet.cluster.fail("create", ConflictError("being deleted"))

    with pytest.raises(ConflictError, match="being deleted"):
        await fleet.bring_about(Key("apps", "mail"))
    assert await fleet.cluster.get(Ref(SERVICE_ACCOUNT, "apps", "mail")) is None
