"""One reconcile, on a cluster in memory: what is made, what is left as it is, and what is said about it."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from smtp_gateway.config import rendered
from smtp_gateway.config.certificate import LEAF_LIFETIME
from smtp_gateway.config.observed import Status
from smtp_gateway_operator.cluster.api import (
    DISRUPTION_BUDGET,
    GATEWAY,
    POD,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    Kind,
)
from smtp_gateway_operator.names import OPERATOR
from tests.unit.operator.setting import KEY, OWNER, Setting, pod, ref, resource, secret

EVERYTHING = [
    (SERVICE_ACCOUNT, "mail"),
    (SECRET, "mail-ca"),
    (SECRET, "mail-admin"),
    (SECRET, "mail-tls"),
    (SECRET, "mail-config-0"),
    (SERVICE, "mail"),
    (SERVICE, "mail-pods"),
    (DISRUPTION_BUDGET, "mail"),
    (STATEFUL_SET, "mail"),
]


async def test_a_new_gateway_gets_everything(setting: Setting) -> None:
    """One reconcile makes every child, owned by the gateway, and is done."""
    assert await setting.reconcile(KEY) is None

    for kind, name in EVERYTHING:
        (owner,) = (await setting.get(kind, name))["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (OWNER.uid, True, True)


async def test_a_gateway_without_logins_is_made_too() -> None:
    """Nobody can send through it, but it runs."""
    setting = Setting()
    await setting.given(resource())

    assert await setting.reconcile(KEY) is None
    assert await setting.exists(STATEFUL_SET, "mail")


async def test_a_second_reconcile_changes_nothing(setting: Setting) -> None:
    """Nothing is written when everything is as wanted: not to children, not to the status, and no Event."""
    await setting.reconcile(KEY)
    await setting.reconcile(KEY)
    before, events = await setting.versions(), setting.reasons()
    setting.cluster.calls.clear()

    await setting.reconcile(KEY)

    assert await setting.versions() == before
    assert setting.reasons() == events
    assert {call.verb for call in setting.cluster.calls} == {"get", "list"}


async def test_a_restarted_operator_changes_nothing(setting: Setting) -> None:
    """An operator without memory takes over what it created once, and from then on applying is no change."""
    await setting.reconcile(KEY)
    await setting.restarted()(KEY)
    before = await setting.versions()

    await setting.restarted()(KEY)

    assert await setting.versions() == before


async def test_the_status_says_where_mail_is_accepted(setting: Setting) -> None:
    """Endpoints, selector and counts are in the status, in the form that the CRD describes."""
    await setting.reconcile(KEY)

    status = await setting.status()
    assert Status.model_validate(status)
    assert status["endpoints"] == [
        {"name": "submission", "address": "mail.apps.svc", "port": 587},
        {"name": "alternative", "address": "mail.apps.svc", "port": 2525},
    ]
    assert status["selector"] == "app.kubernetes.io/instance=mail,app.kubernetes.io/name=smtp-gateway"
    assert (status["observedGeneration"], status["replicas"], status["readyReplicas"]) == (1, 0, 0)


async def test_the_status_says_where_mail_is_accepted_from_outside(setting: Setting) -> None:
    """The load balancer's addresses as soon as it has some, and the nodes' ports; nothing of them is left for the cluster's own type."""
    await setting.change(service={"type": "LoadBalancer"})
    await setting.reconcile(KEY)
    assert "externalAddresses" not in str((await setting.status())["endpoints"])
    ports = (await setting.get(SERVICE))["spec"]["ports"]
    await setting.cluster.patch(ref(SERVICE), {"spec": {"ports": [{**ports[0], "nodePort": 31587}, ports[1]]}})
    ingress = [{"ip": "192.0.2.7"}, {"hostname": "lb.example.net"}, {"ports": []}]
    await setting.cluster.patch_status(ref(SERVICE), {"loadBalancer": {"ingress": ingress}})

    await setting.reconcile(KEY)

    status = await setting.status()
    assert Status.model_validate(status)
    outside = {"address": "mail.apps.svc", "externalAddresses": ["192.0.2.7", "lb.example.net"]}
    assert status["endpoints"] == [
        {"name": "submission", "port": 587, "nodePort": 31587} | outside,
        {"name": "alternative", "port": 2525} | outside,
    ]

    await setting.change(service={"type": "ClusterIP"})
    await setting.cluster.patch(ref(SERVICE), {"spec": {"ports": ports}})
    await setting.reconcile(KEY)
    assert (await setting.status())["endpoints"][0] == {"name": "submission", "address": "mail.apps.svc", "port": 587}


async def test_it_is_ready_when_its_pods_are(setting: Setting) -> None:
    """Ready follows the pods, and is worth one Event."""
    await setting.reconcile(KEY)
    assert await setting.condition("Ready") == ("False", "PodsNotReady", "0 of 1 pods ready")
    assert (await setting.condition("Progressing"))[:2] == ("True", "RollingOut")

    await setting.pods_become_ready()
    await setting.reconcile(KEY)

    assert await setting.condition("Ready") == ("True", "PodsReady", "1 of 1 pods ready")
    assert (await setting.condition("Progressing"))[:2] == ("False", "Complete")
    assert setting.reasons() == [("Normal", "Ready")]
    assert set(setting.fleet.asked) == {"mail-0"}


async def test_the_message_says_what_is_wrong_with_a_pod(setting: Setting) -> None:
    """A pod that cannot start is named in Ready's message, with the reason that its container gives."""
    await setting.given(pod("mail-0"))
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff"}}, "ready": False}
    await setting.cluster.patch_status(ref(POD, "mail-0"), {"containerStatuses": [waiting]})

    await setting.reconcile(KEY)

    assert (await setting.condition("Ready"))[2] == "0 of 1 pods ready; mail-0: ImagePullBackOff"


async def test_scaled_to_zero_is_as_wanted(setting: Setting) -> None:
    """A gateway of no pods is settled, and says that it accepts nothing."""
    await setting.change(replicas=0)
    await setting.reconcile(KEY)
    await setting.pods_become_ready()

    await setting.reconcile(KEY)

    assert (await setting.condition("Ready"))[:2] == ("True", "ScaledToZero")


async def test_changed_logins_reach_the_configuration_and_not_the_pods(setting: Setting) -> None:
    """A rotated password changes the configuration's Secret and leaves the StatefulSet untouched."""
    await setting.reconcile(KEY)
    before = await setting.versions()

    await setting.cluster.patch(ref(SECRET, "app"), {"data": secret("app", alice="looking-glass")["data"]})
    await setting.reconcile(KEY)

    changed = {name for name, version in (await setting.versions()).items() if before[name] != version}
    assert changed == {"Secret app", "Secret mail-config-0"}


async def test_changed_credentials_reach_the_configuration_and_not_the_pods() -> None:
    """A provider's password is rotated without a restart, and the status does not show it."""
    hop = {"host": "smtp.example.net", "credentialsRef": {"name": "provider"}}
    setting = Setting()
    await setting.given(
        resource(routes=[{"name": "default", "smarthosts": [hop]}]), secret("provider", username="alice", password="looking-glass")
    )
    await setting.reconcile(KEY)
    before = await setting.versions()

    await setting.cluster.patch(ref(SECRET, "provider"), {"data": secret("provider", username="alice", password="wonderland")["data"]})
    await setting.reconcile(KEY)

    changed = {name for name, version in (await setting.versions()).items() if before[name] != version}
    assert changed == {"Secret provider", "Secret mail-config-0"}
    told = json.dumps(await setting.get(GATEWAY, "mail"))
    assert not [word for word in ("alice", "wonderland", "looking-glass") if word in told]


@pytest.mark.parametrize(
    "spec",
    [
        {"limits": {"recipients": 7}},
        {"hostname": "other.example.com", "tls": {"secretName": "mine"}},
        {"routes": [{"name": "default", "smarthosts": [{"host": "smtp.example.net"}]}]},
        {"spool": {"lifetime": "1d"}},
    ],
)
async def test_behaviour_is_reloaded_and_not_rolled_out(spec: dict[str, Any]) -> None:
    """Limits, routes, names and lifetimes never touch the StatefulSet."""
    setting = Setting()
    await setting.given(resource(tls={"secretName": "mine"}), secret("mine", **{"tls.crt": "a", "tls.key": "b"}))
    await setting.reconcile(KEY)
    before = await setting.versions()

    await setting.change(**spec)
    await setting.reconcile(KEY)

    after = await setting.versions()
    assert after["StatefulSet mail"] == before["StatefulSet mail"]
    assert after["Secret mail-config-0"] != before["Secret mail-config-0"]


async def test_more_replicas_and_listeners_reach_the_workload(setting: Setting) -> None:
    """What only pods can take up goes into the StatefulSet, and what is gone from the resource goes from it."""
    await setting.reconcile(KEY)

    await setting.change(replicas=3, listeners=[{"name": "submissions", "port": 465, "tls": "Implicit"}])
    await setting.reconcile(KEY)

    spec = (await setting.get(STATEFUL_SET))["spec"]
    assert spec["replicas"] == 3
    assert [port["containerPort"] for port in spec["template"]["spec"]["containers"][0]["ports"]] == [8080, 8443, 465]
    assert [port["port"] for port in (await setting.get(SERVICE))["spec"]["ports"]] == [465]


@pytest.mark.parametrize(("kind", "name"), EVERYTHING)
async def test_a_deleted_child_comes_back(setting: Setting, kind: Kind, name: str) -> None:
    """Whatever is deleted by hand is made again."""
    await setting.reconcile(KEY)
    await setting.cluster.delete(ref(kind, name), (await setting.get(kind, name))["metadata"]["uid"])

    await setting.reconcile(KEY)

    assert await setting.exists(kind, name)


async def test_a_user_certificate_is_mounted_and_never_written(setting: Setting) -> None:
    """With tls.secretName the Secret is used as it is, and none is issued; the authority is there for the admin port alone."""
    await setting.change(tls={"secretName": "mine"})
    await setting.given(secret("mine", kind="kubernetes.io/tls", **{"tls.crt": "certificate", "tls.key": "key"}))
    before = await setting.get(SECRET, "mine")

    await setting.reconcile(KEY)

    assert await setting.get(SECRET, "mine") == before
    assert await setting.exists(SECRET, "mail-ca")
    assert await setting.exists(SECRET, "mail-admin")
    assert not await setting.exists(SECRET, "mail-tls")
    assert (await setting.get(STATEFUL_SET))["spec"]["template"]["spec"]["volumes"][1]["secret"]["secretName"] == "mine"


async def test_asking_clients_for_certificates_leaves_the_issuing_to_the_operator(setting: Setting) -> None:
    """spec.tls says where the certificate comes from only when it names a source; no pod restarts for the rest."""
    await setting.reconcile(KEY)
    before = await setting.versions()
    authority = (await setting.get(SECRET, "mail-ca"))["data"]["tls.crt"]
    await setting.given(secret("clients-ca", **{"ca.crt": base64.b64decode(authority).decode()}))
    await setting.change(tls={"clientCertificates": {"authorityRef": {"name": "clients-ca"}}})

    await setting.reconcile(KEY)

    after = await setting.versions()
    assert [after[name] for name in ("Secret mail-tls", "StatefulSet mail")] == [
        before[name] for name in ("Secret mail-tls", "StatefulSet mail")
    ]
    assert after["Secret mail-config-0"] != before["Secret mail-config-0"]
    assert await setting.exists(SECRET, "clients-ca")


async def test_what_is_not_wanted_any_more_goes_but_not_the_authority(setting: Setting) -> None:
    """When a user brings a certificate, the issued one goes; the authority stays, because clients trust it."""
    await setting.reconcile(KEY)
    await setting.given(secret("mine", **{"tls.crt": "a", "tls.key": "b"}))
    await setting.change(tls={"secretName": "mine"})

    await setting.reconcile(KEY)

    assert not await setting.exists(SECRET, "mail-tls")
    assert await setting.exists(SECRET, "mail-ca")


async def test_a_configuration_grows_and_shrinks(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further Secrets come and go with its size, and the StatefulSet is not touched for it."""
    await setting.reconcile(KEY)
    before = await setting.versions()

    with monkeypatch.context() as small:
        small.setattr(rendered, "SHARD_SIZE", 200)
        await setting.reconcile(KEY)
    assert await setting.exists(SECRET, "mail-config-1")
    assert (await setting.versions())["StatefulSet mail"] == before["StatefulSet mail"]

    await setting.reconcile(KEY)
    assert not await setting.exists(SECRET, "mail-config-1")
    assert (await setting.versions())["StatefulSet mail"] == before["StatefulSet mail"]


async def test_an_issued_certificate_that_a_user_adopts_stays(setting: Setting) -> None:
    """Even a Secret of the operator's own is the user's once tls.secretName names it."""
    await setting.reconcile(KEY)
    await setting.change(tls={"secretName": "mail-tls"})

    await setting.reconcile(KEY)

    assert await setting.exists(SECRET, "mail-tls")


async def test_the_authority_survives_the_loss_of_its_labels(setting: Setting) -> None:
    """An authority that the labels do not find is found by name, and labelled again, with the same key."""
    await setting.reconcile(KEY)
    before = (await setting.get(SECRET, "mail-ca"))["data"]
    await setting.cluster.patch(ref(SECRET, "mail-ca"), {"metadata": {"labels": None}})

    await setting.reconcile(KEY)

    after = await setting.get(SECRET, "mail-ca")
    assert after["data"] == before
    assert after["metadata"]["labels"]["app.kubernetes.io/managed-by"] == OPERATOR


async def test_the_certificate_is_renewed_in_time(setting: Setting) -> None:
    """After two thirds of its life the certificate is another, from the same authority; a day earlier it is not."""
    await setting.reconcile(KEY)
    first, authority = (await setting.get(SECRET, "mail-tls"))["data"], (await setting.get(SECRET, "mail-ca"))["data"]

    setting.later(days=LEAF_LIFETIME.days * 2 / 3 - 1)
    await setting.reconcile(KEY)
    assert (await setting.get(SECRET, "mail-tls"))["data"] == first

    setting.later(days=1)
    await setting.reconcile(KEY)
    renewed = (await setting.get(SECRET, "mail-tls"))["data"]
    assert renewed["tls.crt"] != first["tls.crt"]
    assert renewed["ca.crt"] == authority["tls.crt"] == first["ca.crt"]


async def test_a_gateway_that_is_gone_is_forgotten(setting: Setting) -> None:
    """Nothing is done for a deleted gateway, and its metrics go."""
    await setting.reconcile(KEY)
    assert b'resource_ready{name="mail",namespace="apps"}' in setting.metrics.exposition()
    assert re.search(rb'config_info\{generation="1",hash="\w+",name="mail",namespace="apps"\} 1.0', setting.metrics.exposition())
    await setting.cluster.delete(ref(GATEWAY), OWNER.uid)
    setting.cluster.calls.clear()

    assert await setting.reconcile(KEY) is None

    assert [call.verb for call in setting.cluster.calls] == ["get"]
    assert b"resource_ready{" not in setting.metrics.exposition()
    assert b"config_info{" not in setting.metrics.exposition()


async def test_a_gateway_that_is_being_deleted_is_left_alone(setting: Setting) -> None:
    """With foreground deletion nothing is made again while the children go."""
    await setting.cluster.patch(ref(GATEWAY), {"metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z"}})

    assert await setting.reconcile(KEY) is None
    assert not await setting.exists(STATEFUL_SET, "mail")
