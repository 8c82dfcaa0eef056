"""What the builders promise: which changes restart pods and which cannot, and that pods may run anywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway.config import rendered
from smtp_gateway_operator import desired, names
from smtp_gateway_operator.cluster.api import STATEFUL_SET, Object, ref_of
from smtp_gateway_operator.desired import Images
from smtp_gateway_operator.desired.workload import stateful_set
from smtp_gateway_operator.names import leaf_secret
from smtp_gateway_operator.spec import ConfigTooLargeError, Login, to_config
from tests.unit.operator.setting import IMAGES, OWNER, gateway

if TYPE_CHECKING:
    from collections.abc import Sequence

LOGINS = tuple(Login(login=f"app-{number}", password=names.hash_of({"of": number}), identity="app") for number in range(10))
BEHAVIOUR: list[dict[str, Any]] = [
    {"hostname": "other.example.com"},
    {"logins": [{"secretRef": {"name": "other"}}]},
    {"routes": [{"name": "default", "smarthosts": [{"host": "smtp.example.net"}]}]},
    {"limits": {"messageSize": "1Mi", "recipients": 7, "connections": 2000, "connectionsPerClient": 7}},
    {"tls": {"clientCertificates": {"authorityRef": {"name": "clients-ca"}}}},
    {"spool": {"lifetime": "1d"}},
    {"listeners": [{"name": "renamed", "port": 587, "tls": "Implicit"}, {"name": "alternative", "port": 2525}]},
    {
        "listeners": [
            {"name": "submission", "port": 587, "proxyProtocol": {"trusted": ["192.0.2.0/28"]}},
            {"name": "alternative", "port": 2525},
        ]
    },
]
SHAPE: list[dict[str, Any]] = [
    {"replicas": 3},
    {"listeners": [{"name": "smtp", "port": 25}]},
    {"tls": {"secretName": "mine"}},
    {"tls": {"additionalSecretName": "mine"}},
    {"tls": {"certManager": {"issuerRef": {"name": "internal"}}}},
    {"podTemplate": {"labels": {"team": "mail"}, "priorityClassName": "high", "tolerations": [{"operator": "Exists"}]}},
    {"spool": {"volume": {"size": "5Gi", "storageClassName": "fast"}}},
]
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def changed(spec: dict[str, Any]) -> str:
    """Return which fields a spec sets, as the name of a test."""
    return "-".join(spec) or "default"


def children(found: Sequence[Login] = (), **spec: Any) -> dict[str, Object]:
    """Return the children of a gateway by what a person calls them; *found* is what its Secrets hold."""
    resource = gateway(**spec)
    return {str(ref_of(one)): one for one in desired.children(resource, to_config(resource, found, "the authority of clients"), IMAGES)}


def workload(**spec: Any) -> Object:
    """Return the StatefulSet."""
    return stateful_set(OWNER, gateway(**spec).spec, IMAGES)


@pytest.mark.parametrize("spec", BEHAVIOUR, ids=changed)
def test_behaviour_is_in_the_configuration_and_not_in_the_pods(spec: dict[str, Any]) -> None:
    """Names, logins, routes, limits and how a port speaks are reloaded: the StatefulSet is the very same, so no pod restarts."""
    before, after = children(), children(LOGINS if "logins" in spec else (), **spec)

    assert after["StatefulSet mail"] == before["StatefulSet mail"]
    assert after["Secret mail-config-0"] != before["Secret mail-config-0"]


@pytest.mark.parametrize("spec", [{"service": {"labels": {"team": "mail"}}}, {"networkPolicy": {"enabled": True}}], ids=changed)
def test_how_a_gateway_is_reached_restarts_nothing(spec: dict[str, Any]) -> None:
    """Services and policies are around the pods and not in them; what a Service hides of the clients is followed without a restart."""
    before, after = children(), children(**spec)

    assert after["StatefulSet mail"] == before["StatefulSet mail"]
    assert after != before


def test_a_service_from_outside_restarts_nothing() -> None:
    """Clients may look alike behind it, so the ceiling for each of them changes, and that is reloaded."""
    before, after = children(), children(service={"type": "NodePort"})

    assert after["StatefulSet mail"] == before["StatefulSet mail"]
    assert after["Secret mail-config-0"] != before["Secret mail-config-0"]


def test_a_release_restarts_pods_by_its_image_alone() -> None:
    """The version is a label of objects; pods and claims do not carry it."""
    before = workload()["spec"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names, "__version__", "99.0.0")
        released = workload()

    assert released["metadata"]["labels"][names.VERSION_LABEL] == "99.0.0"
    assert released["spec"] == before
    other = stateful_set(OWNER, gateway().spec, Images("example.com/smtp-gateway:2"))["spec"]
    assert other["volumeClaimTemplates"] == before["volumeClaimTemplates"]
    assert other["template"] != before["template"]


@pytest.mark.parametrize("spec", [*BEHAVIOUR, *SHAPE], ids=changed)
def test_what_cannot_be_changed_never_changes(spec: dict[str, Any]) -> None:
    """A StatefulSet's selector and the name of its Service are immutable, and Services and budget select the same pods."""
    found = children(**spec)
    pods, selector = found["StatefulSet mail"]["spec"], names.selector("mail")

    assert pods["selector"] == {"matchLabels": selector}
    assert pods["serviceName"] == "mail-pods"
    assert selector.items() <= pods["template"]["metadata"]["labels"].items()
    assert found["PodDisruptionBudget mail"]["spec"]["selector"] == {"matchLabels": selector}
    assert found["Service mail"]["spec"]["selector"] == found["Service mail-pods"]["spec"]["selector"] == selector


@pytest.mark.parametrize("spec", [{}, *SHAPE], ids=changed)
def test_pods_are_restricted(spec: dict[str, Any]) -> None:
    """The restricted Pod Security standard, field by field, and no token of the API."""
    pod = workload(**spec)["spec"]["template"]["spec"]

    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {one["name"] for one in pod["securityContext"]["sysctls"]} == {"net.ipv4.ip_unprivileged_port_start"}
    assert all(set(volume) - {"name"} <= RESTRICTED_VOLUMES for volume in pod["volumes"])
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert not [port for port in container["ports"] if "hostPort" in port]
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("spec", [{}, *SHAPE], ids=changed)
def test_the_parts_fit_together(spec: dict[str, Any]) -> None:
    """Every mount has its volume or claim, Services lead to ports that the pods have, and probes to one of them."""
    found = children(**spec)
    pods = found["StatefulSet mail"]["spec"]
    pod, (container,) = pods["template"]["spec"], pods["template"]["spec"]["containers"]

    claims = {claim["metadata"]["name"] for claim in pods["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == claims | {volume["name"] for volume in pod["volumes"]}
    ports = {port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"] for port in found["Service mail"]["spec"]["ports"]} <= ports
    assert found["Service mail"]["spec"]["ports"] == found["Service mail-pods"]["spec"]["ports"]
    probed = {container[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "liveness", "readiness")}
    assert probed <= {port["name"] for port in container["ports"]}
    assert f"ServiceAccount {pod['serviceAccountName']}" in found


def test_pods_can_make_the_socket_that_their_image_names() -> None:
    """Its folder is a mount that can be written, on a root that cannot, and not the queue's volume, which may be full."""
    found = re.search(r"^ENV SMTP_GATEWAY_SOCKET=(\S+)$", Path("gateway/Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    pod = workload()["spec"]["template"]["spec"]
    volumes = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
    folders = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] in volumes}

    assert str(Path(found[1]).parent) in folders


def test_pods_mount_the_certificate_that_is_issued() -> None:
    """Without a Secret of the user's it is the operator's own."""
    (volume,) = (one for one in workload()["spec"]["template"]["spec"]["volumes"] if one["name"] == "tls")

    assert volume["secret"]["secretName"] == leaf_secret("mail")


def test_two_certificates_are_mounted_into_one_folder() -> None:
    """So that one look follows both; the second's files have names of their own, and no key of its Secret hides one of the first's."""
    (volume,) = (
        one for one in workload(tls={"additionalSecretName": "rsa"})["spec"]["template"]["spec"]["volumes"] if one["name"] == "tls"
    )
    items = [{"key": "tls.crt", "path": "additional.crt"}, {"key": "tls.key", "path": "additional.key"}]

    assert volume["projected"]["sources"] == [{"secret": {"name": leaf_secret("mail")}}, {"secret": {"name": "rsa", "items": items}}]


def test_a_large_configuration_is_cut_and_restarts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes into several Secrets, which the pods' volume has named all along."""
    small = children()
    monkeypatch.setattr(rendered, "SHARD_SIZE", 250)

    large = children(LOGINS)

    shards = [name for name in large if name.startswith("Secret ")]
    assert len(shards) > 1
    assert shards == [f"Secret mail-config-{number}" for number in range(len(shards))]
    assert large["StatefulSet mail"] == small["StatefulSet mail"]
    (volume,) = (one for one in large["StatefulSet mail"]["spec"]["template"]["spec"]["volumes"] if one["name"] == "config")
    sources = volume["projected"]["sources"]
    assert {f"Secret {one['secret']['name']}" for one in sources} >= set(shards)
    assert [one["secret"].get("optional", False) for one in sources] == [False, True, True, True]


def test_a_configuration_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is built of it, because a part of a configuration is none."""
    monkeypatch.setattr(rendered, "SHARD_SIZE", 50)

    with pytest.raises(ConfigTooLargeError, match=r"more than the 200 that fit"):
        children(LOGINS)


def test_pods_come_last() -> None:
    """What pods need is there before the pods."""
    order = list(children(LOGINS))

    assert order[-1] == f"{STATEFUL_SET.name} mail"


def test_equal_resources_have_equal_children() -> None:
    """No clock, no chance: a reconcile that finds nothing new writes nothing."""
    assert children(LOGINS) == children(LOGINS)
