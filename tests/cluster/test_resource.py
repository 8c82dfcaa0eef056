"""The resource as its users meet it: applied, explained, refused, changed, deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.conftest import conditions
from tests.support import world
from tests.support.gateways import API_VERSION, Gateway
from tests.support.kube import CommandError, Kube
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

CHILDREN = "statefulset,service,serviceaccount,poddisruptionbudget,secret,configmap,networkpolicy"
LABEL = "app.kubernetes.io/instance=short"
EXAMPLES = sorted(str(path) for path in Path("examples").glob("*.yaml"))


def refusal(kube: Kube, **spec: Any) -> str:
    """Return why the API server refuses a gateway with *spec*."""
    whole = {"hostname": "mail.example.com"} | spec
    with pytest.raises(CommandError) as refused:
        kube.apply({"apiVersion": API_VERSION, "kind": "SmtpGateway", "metadata": {"name": "refused"}, "spec": whole})
    return str(refused.value)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"hostnam": "mail.example.com"}, 'unknown field "spec.hostnam"'),
    ({"hostname": "mail example com"}, "must be a fully qualified host name such as mail.example.com"),
    ({"hostname": "mail.example.com\r\nRSET"}, "must be a fully qualified host name such as mail.example.com"),
    ({"replicas": -1}, "should be greater than or equal to 0"),
    ({"listeners": [{"name": "a", "port": 587}, {"name": "b", "port": 587}]}, "each listener needs a port of its own"),
    ({"listeners": [{"name": "a", "port": 8080}]}, "port 8080 is taken by the pods' probes and metrics"),
    ({"listeners": [{"name": "a", "port": 8443}]}, "port 8443 is taken by the pods' reports"),
    ({"listeners": [{"name": "a", "port": 587, "tls": "Sometimes"}]}, 'supported values: "StartTLS", "Implicit"'),
    ({"listeners": [{"name": "a", "port": 25, "auth": "None"}]}, "without either it would be an open relay"),
    ({"listeners": [{"name": "a", "port": 25, "allowedNetworks": ["192.0.2.0/24"]}]}, "acknowledgedRisks need auth: None"),
    ({"listeners": [{"name": "a", "port": 25, "tls": "Opportunistic"}]}, "because logins are never taken in the clear"),
    ({"listeners": [{"name": "a", "port": 25, "auth": "None", "allowedNetworks": ["::/0"]}]}, "must not be the whole Internet"),
    (
        {"listeners": [{"name": "a", "port": 25, "auth": "None", "allowedNetworks": ["::ffff:192.0.2.0/120"]}]},
        "must be a network such as 192.0.2.0/24, without host bits",
    ),
    (
        {"listeners": [{"name": "a", "port": 25, "auth": "None", "allowedNetworks": ["192.0.2.0/24"], "acknowledgedRisks": ["AllOfThem"]}]},
        'supported values: "WideNetwork", "ClusterAddresses", "SourceNAT"',
    ),
    ({"routes": [{"name": "a"}, {"name": "b"}]}, "only the last route may be without a match"),
    ({"routes": [{"name": "a", "match": {"recipientDomains": ["example.com"]}}]}, "the last route must have no match"),
    ({"routes": [{"name": "a", "pacing": {}}]}, "pacing needs a preset or at least one limit"),
    (
        {"routes": [{"name": "a", "smarthosts": [{"host": "a.example"}, {"host": "a.example", "weight": 2}]}]},
        "the smarthosts of a route differ in host, port or credentialsRef",
    ),
    ({"routes": [{"name": "a", "smarthosts": [{"host": "smtp.example.com>"}]}]}, "must be a host name or an IP address"),
    (
        {"routes": [{"name": "a", "smarthosts": [{"host": "a.example", "tls": "Opportunistic", "credentialsRef": {"name": "provider"}}]}]},
        "credentials are sent under TLS only: with credentialsRef, tls must be Verify or Required",
    ),
    ({"spool": {"lifetime": "soon"}}, "must be a duration such as 30s, 15m, 1h30m or 5d"),
    ({"limits": {"messageSize": "1Ki"}}, "must be at least 64Ki"),
    ({"limits": {"connections": 10, "connectionsPerClient": 11}}, "connectionsPerClient must not be more than connections"),
    (
        {"listeners": [{"name": "a", "port": 587, "proxyProtocol": {"trusted": ["::/0"]}}]},
        "must not be the whole Internet: anybody could claim any address",
    ),
    ({"service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}}, "loadBalancerClass and loadBalancerSourceRanges need type LoadBalancer"),
    (
        {"service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"]}},
        "must be a network such as 192.0.2.0/24, without host bits",
    ),
    ({"service": {"externalTrafficPolicy": "Local"}}, "externalTrafficPolicy Local needs type NodePort or LoadBalancer"),
    ({"service": {"ipFamilies": ["IPv4", "IPv6"]}}, "two ipFamilies need ipFamilyPolicy PreferDualStack or RequireDualStack"),
    ({"service": {"labels": {"app.kubernetes.io/instance": "other"}}}, "are the operator's own"),
    ({"listeners": [{"name": "a", "port": 587, "nodePort": 30587}]}, "a listener's nodePort needs service.type NodePort or LoadBalancer"),
    ({"networkPolicy": {"extraEgressPorts": [2525]}}, "extraEgressPorts need enabled: true"),
    ({"podTemplate": {"resources": {"limits": {"cpu": "much"}}}}, "spec.podTemplate.resources.limits.cpu"),
    ({"podTemplate": {"tolerations": [{"effect": "Never"}]}}, 'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'),
    ({"tls": {"secretName": "mine", "certManager": {"issuerRef": {"name": "internal"}}}}, "secretName and certManager exclude each other"),
    ({"tls": {"secretName": "mine", "additionalSecretName": "mine"}}, "additionalSecretName must be another Secret than secretName"),
    ({"logins": [{"secretRef": {"name": "a"}}, {"secretRef": {"name": "a"}}]}, "each Secret of logins is named once"),
    ({"logins": [{"secretRef": {"name": "a"}, "allowedSenders": ["app-*@example.com"]}]}, "must be an address such as app@example.com"),
    ({"logins": [{"secretRef": {"name": "a"}, "allowedSenders": []}]}, "should have at least 1 items"),
    ({"bounces": {"to": "Postmaster"}}, "to: Postmaster needs the postmaster's address"),
    ({"bounces": {"to": "Drop", "route": "default"}}, "with to: Drop nothing is sent"),
    ({"bounces": {"route": "other"}}, "bounces.route must be the name of one of the routes"),
    ({"bounces": {"postmaster": "postmaster@a@b"}}, "must be an address such as postmaster@example.com"),
    (
        {"logins": [{"secretRef": {"name": "app"}, "certificateNames": ["app.example"]}]},
        "a login's certificateNames need tls.clientCertificates",
    ),
    (
        {
            "tls": {"clientCertificates": {"authorityRef": {"name": "ca"}}},
            "logins": [{"secretRef": {"name": "a"}, "certificateNames": ["a b"]}],
        },
        "must be a DNS name, a mail address or a URI as it stands in the certificate",
    ),
]


@pytest.mark.parametrize(("spec", "sentence"), REFUSED)
def test_the_api_server_refuses_with_a_sentence(kube: Kube, operator: str, spec: dict[str, Any], sentence: str) -> None:
    """A wrong resource is refused when it is applied, with a sentence that says what to write."""
    assert operator

    assert sentence in refusal(kube, **spec)


def test_a_name_that_cannot_name_pods_is_refused(kube: Kube, operator: str) -> None:
    """A name too long for the pods' labels is refused before anything is made of it."""
    assert operator
    with pytest.raises(CommandError, match="the name must be at most 52 lower case letters"):
        kube.apply({"apiVersion": API_VERSION, "kind": "SmtpGateway", "metadata": {"name": "x" * 53}, "spec": {"hostname": "a.example"}})


def test_volumes_cannot_be_of_another_class(gateway: Gateway) -> None:
    """A change that Kubernetes could not carry out is refused when it is applied."""
    with pytest.raises(CommandError, match="the StorageClass of a gateway's volumes cannot be changed"):
        gateway.kube.apply(gateway.manifest(spool={"volume": {"size": "256Mi", "storageClassName": "other"}})[1])


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_accepted(sink: Kube, operator: str, example: str) -> None:
    """Every example in the repository passes the API server's validation, in a namespace without gateways."""
    assert operator

    assert "server dry run" in sink("apply", "--dry-run=server", "-f", example)


def test_explain_is_worth_reading(kube: Kube, operator: str) -> None:
    """`kubectl explain` says what routes do, and every field of the spec has a description."""
    assert operator
    everything = kube("explain", "smtpgateway.spec", "--recursive")
    routes = kube("explain", "smtpgateway.spec.routes")

    assert "the first route that matches a recipient" in routes
    assert "smarthosts" in everything
    assert "<no description>" not in kube("explain", "smtpgateway.spec.routes.smarthosts")


def test_the_status_says_what_is(gateway: Gateway) -> None:
    """A Ready gateway's status has current counts, its endpoints, its selector and conditions that are true or settled."""
    gateway.wait("condition=Ready")
    resource = gateway.kube.get("smtpgateway", gateway.name)
    status = resource["status"]

    assert status["observedGeneration"] == resource["metadata"]["generation"]
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert [(one["name"], one["port"]) for one in status["endpoints"]] == [("submission", 587), ("alternative", 2525)]
    assert gateway.pod in gateway.kube("get", "pods", "-l", status["selector"], "-o", "name")
    assert {name: held for name, (held, _) in conditions(status).items()} == {
        "Ready": "True",
        "Progressing": "False",
        "ConfigValid": "True",
        "ReferencesResolved": "True",
        "CertificateValid": "True",
        "UpstreamReachable": "True",
        "QueueHealthy": "True",
        "OpenRelayRisk": "False",
    }


def test_the_columns_tell_the_state(gateway: Gateway) -> None:
    """`kubectl get smtpgw` shows readiness, the pods that accept mail and what waits; `-o wide` shows upstream and certificate."""
    gateway.wait("condition=Ready")
    header, row = gateway.kube("get", "smtpgw", gateway.name).splitlines()
    wide, wider = gateway.kube("get", "smtpgw", gateway.name, "-o", "wide").splitlines()

    assert header.split() == ["NAME", "READY", "REPLICAS", "QUEUE", "OLDEST", "AGE"]
    assert row.split()[:3] == [gateway.name, "True", "1"]
    assert wide.split()[6:] == ["UPSTREAM", "CERTIFICATE", "MESSAGE"]
    assert "Reachable" in wider
    assert wider.rstrip().endswith("1 of 1 pods ready")


def test_events_mark_transitions_only(gateway: Gateway) -> None:
    """Becoming Ready is one Event, however often the gateway is reconciled."""
    events = gateway.kube.get("events", "--field-selector", f"involvedObject.kind=SmtpGateway,involvedObject.name={gateway.name}")
    reasons = [event["reason"] for event in events]

    assert reasons.count("Ready") >= 1
    assert len(reasons) == len({(event["reason"], event["message"], event["firstTimestamp"]) for event in events})


def test_the_operator_asks_for_nothing_that_it_may_not_do(gateway: Gateway, operator: str) -> None:
    """With the chart's rights alone a gateway became Ready, and the API server refused the operator nothing."""
    records = [json.loads(line) for line in gateway.kube("logs", f"deployment/{operator}").splitlines()]

    assert "started" in {record["event"] for record in records}
    assert [record for record in records if "forbidden" in json.dumps(record).lower()] == []


def test_pods_are_restricted(gateway: Gateway) -> None:
    """The pod runs as nobody, on a read-only root, without API rights; its namespace admits nothing else."""
    pod = gateway.kube.get("pod", gateway.pod)["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in pod["containers"])


def test_a_missing_secret_is_named_and_its_arrival_noticed(kube: Kube, gateway: Gateway) -> None:
    """Without its login Secret a gateway says which is missing; once it exists the gateway becomes Ready by itself."""
    late = Gateway(kube, "late", gateway.smarthost)
    secret, resource = late.manifest()
    try:
        kube.apply(resource)
        late.wait("condition=ReferencesResolved=False")
        reasons = conditions(kube.get("smtpgateway", late.name)["status"])
        assert reasons["Ready"][0] == "False"
        assert "late-logins" in json.dumps(kube.get("smtpgateway", late.name)["status"]["conditions"])

        kube.apply(secret)

        late.wait("condition=Ready")
    finally:
        late.delete()


def test_a_deleted_child_comes_back(gateway: Gateway) -> None:
    """What someone deletes by hand, the operator makes again."""
    before = gateway.kube.get("service", gateway.name)["metadata"]["uid"]

    gateway.kube("delete", "service", gateway.name)

    eventually_sync(lambda: gateway.kube.exists("service", gateway.name), within=30, what="the Service is back", pause=0.2)
    assert gateway.kube.get("service", gateway.name)["metadata"]["uid"] != before


@pytest.mark.timeout(420)
def test_a_changed_limit_is_in_force_without_a_restart(gateway: Gateway) -> None:
    """A limit changed in the resource is announced by the running pod, which is the same pod as before."""
    before = gateway.kube.get("pod", gateway.pod)["metadata"]["uid"]
    try:
        gateway.kube.apply(gateway.manifest(limits={"recipients": 7})[1])

        within = 40  # without a nudge the kubelet would take up to two minutes
        eventually_sync(lambda: took_over(gateway), within=within, what="the pod runs the new configuration", pause=2)
    finally:
        gateway.kube.apply(gateway.manifest()[1])
    pod = gateway.kube.get("pod", gateway.pod)
    assert pod["metadata"]["uid"] == before
    assert sum(one["restartCount"] for one in pod["status"]["containerStatuses"]) == 0


def took_over(gateway: Gateway) -> bool:
    """Tell whether the pod refuses an eighth recipient now."""
    recipients = [f"r{number}@example.net" for number in range(8)]
    (outcome,) = gateway.submit(587, world.message("app@example.com", recipients, b"Subject: eight\r\n\r\n"))
    return bool(outcome["code"] == 452)


@pytest.fixture
def short(kube: Kube, gateway: Gateway) -> Iterator[Gateway]:
    """A gateway to delete."""
    short = Gateway(kube, "short", gateway.smarthost)
    short.create()
    yield short
    short.delete()


def test_deleting_the_resource_takes_its_children_and_leaves_the_volumes(kube: Kube, short: Gateway) -> None:
    """After deletion nothing is left but the volume claims, which may hold mail."""
    assert kube("get", CHILDREN, "-l", LABEL, "-o", "name").strip()

    kube("delete", "smtpgateway", short.name, "--timeout=60s")

    eventually_sync(
        lambda: not kube("get", CHILDREN, "-l", LABEL, "-o", "name").strip(), within=90, what="the children are gone", pause=0.5
    )
    eventually_sync(lambda: not kube.exists("pod", short.pod), within=90, what="the pod is gone", pause=0.5)
    assert kube.exists("pvc", f"spool-{short.pod}")
