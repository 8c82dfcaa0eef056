"""How a gateway is reached, and where its pods run, judged by the real API server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.conftest import conditions
from tests.support import world
from tests.support.gateways import Gateway
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.kube import Kube

NOWHERE: dict[str, Any] = {
    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]}
}
"""An affinity with an operator that Kubernetes does not have."""
MISSPELT: dict[str, Any] = {"requiredDuringScheduling": {}}
"""An affinity with a field that Kubernetes does not have."""


@pytest.fixture(scope="module")
def shared(kube: Kube, operator: str) -> Iterator[Gateway]:
    """A gateway without pods, which has everything else, for all of these tests."""
    assert operator
    shared = Gateway(kube, "bare", "sink.example")
    yield shared
    shared.delete()


@pytest.fixture
def bare(shared: Gateway) -> Gateway:
    """The gateway without pods, all well."""
    shared.create(replicas=0)
    return shared


def becomes(gateway: Gateway, holds: Callable[[dict[str, Any]], bool], what: str, **spec: Any) -> dict[str, Any]:
    """Change the gateway's spec, and return the spec of its Service once that *holds*."""
    gateway.kube.apply(gateway.manifest(replicas=0, **spec)[1])
    eventually_sync(lambda: holds(gateway.kube.get("service", gateway.name)["spec"]), within=30, what=what, pause=0.2)
    found: dict[str, Any] = gateway.kube.get("service", gateway.name)["spec"]
    return found


def test_a_service_changes_its_type_and_back(bare: Gateway) -> None:
    """ClusterIP, NodePort, LoadBalancer and back: the same Service at the same address, and nothing of one type is left in the next."""
    before = bare.kube.get("service", bare.name)
    listeners = [{"name": "submission", "port": 587, "nodePort": 31587}, {"name": "alternative", "port": 2525}]

    node = becomes(bare, lambda spec: spec["type"] == "NodePort", "NodePort", service={"type": "NodePort"}, listeners=listeners)
    assert {port["name"]: port["nodePort"] == 31587 for port in node["ports"]} == {"submission": True, "alternative": False}

    balanced = {
        "type": "LoadBalancer",
        "annotations": {"example.com/scheme": "internal"},
        "loadBalancerClass": "example.com/none",
        "loadBalancerSourceRanges": ["10.20.0.0/16"],
        "externalTrafficPolicy": "Local",
    }
    lb = becomes(bare, lambda spec: spec["type"] == "LoadBalancer", "LoadBalancer", service=balanced)
    assert (lb["loadBalancerClass"], lb["loadBalancerSourceRanges"]) == ("example.com/none", ["10.20.0.0/16"])
    assert lb["externalTrafficPolicy"] == "Local"

    node = becomes(bare, lambda spec: spec["type"] == "NodePort", "NodePort again", service={"type": "NodePort"})
    assert not {"loadBalancerClass", "loadBalancerSourceRanges", "healthCheckNodePort"} & set(node)
    assert node["externalTrafficPolicy"] == "Cluster"

    plain = becomes(bare, lambda spec: spec["type"] == "ClusterIP", "ClusterIP again")
    assert not [port for port in plain["ports"] if "nodePort" in port]
    assert "externalTrafficPolicy" not in plain
    after = bare.kube.get("service", bare.name)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "example.com/scheme" not in after["metadata"].get("annotations", {})
    assert {k: v for k, v in plain.items() if k != "ports"} == {k: v for k, v in before["spec"].items() if k != "ports"}


def test_the_status_says_where_a_balancer_and_the_nodes_listen(bare: Gateway) -> None:
    """What whoever provides balancers writes into the Service's status, and the ports that the API server gave, are the endpoints'."""
    balanced = {"type": "LoadBalancer", "loadBalancerClass": "example.com/none"}
    lb = becomes(bare, lambda spec: spec["type"] == "LoadBalancer", "LoadBalancer", service=balanced)
    given = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}
    bare.kube("patch", "service", bare.name, "--subresource=status", "--type=merge", f"-p={json.dumps(given)}")
    bare.wait("jsonpath={.status.endpoints[0].externalAddresses[0]}=192.0.2.7", within=60)

    found = bare.kube.get("smtpgateway", bare.name)["status"]["endpoints"]
    assert [one["nodePort"] for one in found] == [port["nodePort"] for port in lb["ports"]]

    becomes(bare, lambda spec: spec["type"] == "ClusterIP", "ClusterIP again")

    def inside_only() -> bool:
        said = bare.kube.get("smtpgateway", bare.name)["status"]["endpoints"]
        return not [one for one in said if {"externalAddresses", "nodePort"} & set(one)]

    eventually_sync(inside_only, within=60, what="only the cluster's own address is left", pause=0.5)


def test_a_balancers_class_is_changed_by_way_of_another_type(bare: Gateway) -> None:
    """Kubernetes would refuse the operator; the resource is refused when it is applied, and says how to go about it."""
    becomes(
        bare,
        lambda spec: spec["type"] == "LoadBalancer",
        "LoadBalancer",
        service={"type": "LoadBalancer", "loadBalancerClass": "a.example/a"},
    )

    with pytest.raises(Exception, match="the class of a load balancer cannot be changed: make it a ClusterIP in between"):
        bare.kube.apply(bare.manifest(replicas=0, service={"type": "LoadBalancer", "loadBalancerClass": "a.example/b"})[1])


def test_mail_comes_in_on_a_port_of_the_node(gateway: Gateway) -> None:
    """With type NodePort a client sends through an address of a node, while the certificate is checked for the Service's name."""
    node = gateway.kube.get("pod", gateway.pod)["status"]["hostIP"]
    try:
        gateway.kube.apply(gateway.manifest(service={"type": "NodePort"})[1])
        eventually_sync(lambda: node_port(gateway) != 0, within=30, what="the Service has a node port", pause=0.2)
        port = node_port(gateway)
        mail = world.message("app@example.com", ["one@example.net"], b"Subject: by the node\r\n\r\n")

        def accepted() -> bool:
            (outcome,) = gateway.submit(587, mail, via=[node, port])
            return bool(outcome["code"] == 250)

        eventually_sync(accepted, within=60, what="mail is accepted on the node's port", pause=1)
    finally:
        gateway.kube.apply(gateway.manifest()[1])
    eventually_sync(lambda: node_port(gateway) == 0, within=30, what="the node port is gone", pause=0.2)


def node_port(gateway: Gateway) -> int:
    """Return the node's port for submission; 0 when there is none."""
    (port,) = (one for one in gateway.kube.get("service", gateway.name)["spec"]["ports"] if one["port"] == 587)
    return int(port.get("nodePort", 0))


@pytest.mark.parametrize(("affinity", "sentence"), [(NOWHERE, "not a valid selector operator"), (MISSPELT, "requiredDuringScheduling")])
def test_what_the_api_server_refuses_is_told_in_its_words(bare: Gateway, affinity: dict[str, Any], sentence: str) -> None:
    """A wrong affinity passes the resource's schema; the condition repeats what the API server says, and a right one mends it."""
    bare.kube.apply(bare.manifest(replicas=0, podTemplate={"affinity": {"nodeAffinity": affinity}})[1])
    bare.wait("jsonpath={.status.conditions[?(@.type=='Progressing')].reason}=Rejected", within=60)

    status = bare.kube.get("smtpgateway", bare.name)["status"]
    assert conditions(status)["Ready"] == ("False", "Rejected")
    assert sentence in json.dumps(status["conditions"])

    bare.kube.apply(bare.manifest(replicas=0, podTemplate={"nodeSelector": {"kubernetes.io/os": "linux"}})[1])
    bare.wait("condition=Ready")
    pod = bare.kube.get("statefulset", bare.name)["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert "affinity" not in pod


def test_a_new_gateway_with_a_wrong_template_is_told_too(kube: Kube, operator: str) -> None:
    """The first application is a creation, which the API server judges by other code."""
    assert operator
    wrong = Gateway(kube, "wrong", "sink.example")
    try:
        kube.apply(*wrong.manifest(replicas=0, podTemplate={"labels": {"a label": "with a blank"}}))
        wrong.wait("jsonpath={.status.conditions[?(@.type=='Progressing')].reason}=Rejected", within=60)

        assert "a label" in json.dumps(kube.get("smtpgateway", wrong.name)["status"]["conditions"])
    finally:
        wrong.delete()


def test_everything_about_pods_is_accepted(bare: Gateway) -> None:
    """What the template can say, the API server understands as it was meant, and takes back again."""
    template = {
        "annotations": {"sidecar.istio.io/inject": "false"},
        "labels": {"team": "platform"},
        "resources": {"requests": {"cpu": 1, "memory": "64Mi"}, "limits": {"memory": "0.5Gi"}},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "dedicated", "value": "mail", "effect": "NoExecute", "tolerationSeconds": 300}, {"operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "topologySpreadConstraints": [
            {
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "minDomains": 2,
                "nodeAffinityPolicy": "Honor",
                "nodeTaintsPolicy": "Honor",
            }
        ],
        "priorityClassName": "system-cluster-critical",
        "imagePullSecrets": [{"name": "registry"}],
    }
    before = bare.kube.get("statefulset", bare.name)["spec"]["template"]

    bare.kube.apply(bare.manifest(replicas=0, podTemplate=template)[1])
    eventually_sync(lambda: team(bare) == "platform", within=30, what="the pods' template is applied", pause=0.2)
    pod = bare.kube.get("statefulset", bare.name)["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"] == {"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
    assert [one["key"] for one in pod["tolerations"] if "key" in one] == ["dedicated"]
    assert pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]["app.kubernetes.io/instance"] == bare.name
    assert (pod["priorityClassName"], pod["imagePullSecrets"]) == ("system-cluster-critical", [{"name": "registry"}])

    bare.kube.apply(bare.manifest(replicas=0)[1])
    eventually_sync(lambda: team(bare) is None, within=30, what="the pods' template is as before", pause=0.2)
    assert bare.kube.get("statefulset", bare.name)["spec"]["template"] == before


def team(gateway: Gateway) -> str | None:
    """Return a label of the pods' template."""
    labels: dict[str, str] = gateway.kube.get("statefulset", gateway.name)["spec"]["template"]["metadata"]["labels"]
    return labels.get("team")


def test_a_network_policy_comes_and_goes(bare: Gateway) -> None:
    """It is accepted by the API server, follows the listeners, and is gone when nobody wants it; the lab's network does not enforce it."""
    assert not bare.kube.exists("networkpolicy", bare.name)

    def ports() -> list[int]:
        rules = bare.kube.get("networkpolicy", bare.name)["spec"]["ingress"] if bare.kube.exists("networkpolicy", bare.name) else []
        return [port["port"] for rule in rules for port in rule["ports"]]

    policy = {"enabled": True, "extraEgressPorts": [10025]}
    bare.kube.apply(bare.manifest(replicas=0, networkPolicy=policy)[1])
    eventually_sync(lambda: ports() == [587, 2525, 8080, 8443], within=30, what="the policy is there", pause=0.2)
    bare.kube.apply(bare.manifest(replicas=0, networkPolicy=policy, listeners=[{"name": "smtp", "port": 465, "tls": "Implicit"}])[1])
    eventually_sync(lambda: ports() == [465, 8080, 8443], within=30, what="the policy follows", pause=0.2)
    (admin,) = (rule for rule in bare.kube.get("networkpolicy", bare.name)["spec"]["ingress"] if "from" in rule)
    assert admin["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": bare.kube.namespace}

    bare.kube.apply(bare.manifest(replicas=0)[1])
    eventually_sync(lambda: not bare.kube.exists("networkpolicy", bare.name), within=30, what="the policy is gone", pause=0.2)
