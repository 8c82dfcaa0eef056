"""How a gateway is reached and where its pods run: what the builders make of `spec.service`, `networkPolicy` and `podTemplate`."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway_operator import names
from smtp_gateway_operator.desired.network import client_service
from smtp_gateway_operator.desired.policy import network_policy
from smtp_gateway_operator.desired.workload import stateful_set
from smtp_gateway_operator.spec import Grant
from tests.unit.operator.setting import IMAGES, OWNER, gateway


def service(**spec: Any) -> Any:
    """Return the spec of the Service."""
    found = gateway(**spec).spec
    return client_service(OWNER, found.listeners, found.service)["spec"]


def policy(operator_namespace: str = "system", **spec: Any) -> Any:
    """Return the spec of the NetworkPolicy."""
    return network_policy(OWNER, gateway(**spec).spec, operator_namespace)["spec"]


def pods(**template: Any) -> Any:
    """Return the template of the pods."""
    return stateful_set(OWNER, gateway(podTemplate=template).spec, IMAGES)["spec"]["template"]


def ports(rules: list[Any]) -> list[tuple[int, ...]]:
    """Return the port numbers of each rule, once each."""
    return [tuple(dict.fromkeys(one["port"] for one in rule["ports"])) for rule in rules]


@pytest.mark.parametrize(
    ("wanted", "reach"),
    [
        ({}, {"type": "ClusterIP"}),
        ({"type": "NodePort"}, {"type": "NodePort", "externalTrafficPolicy": "Cluster"}),
        ({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}, {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
        ({"ipFamilyPolicy": "PreferDualStack"}, {"type": "ClusterIP", "ipFamilyPolicy": "PreferDualStack"}),
        ({"ipFamilies": ["IPv6"]}, {"type": "ClusterIP", "ipFamilies": ["IPv6"]}),
    ],
)
def test_only_what_was_said_is_applied(wanted: dict[str, Any], reach: dict[str, str]) -> None:
    """What a type does not have is left out, or the API server could not take it back when the type changes."""
    assert {name: value for name, value in service(service=wanted).items() if name not in ("ports", "selector")} == reach


def test_nobody_takes_the_operators_labels_away() -> None:
    """Labels of the user's are beside those by which the operator finds its children."""
    found = gateway(service={"labels": {"team": "mail"}}).spec
    labels = client_service(OWNER, found.listeners, found.service)["metadata"]["labels"]

    assert labels["team"] == "mail"
    assert names.children_selector(OWNER.name).items() <= labels.items()


@pytest.mark.parametrize(
    ("routes", "out"),
    [
        ([{"name": "mx"}], (25,)),
        ([{"name": "hop", "smarthosts": [{"host": "a.example", "port": 587}]}], (587,)),
        ([{"name": "hop", "smarthosts": [{"host": "a.example", "port": 587}, {"host": "b.example"}]}], (25, 587, 2525)),
        ([{"name": "hop", "smarthosts": [{"host": "a.example", "alternatePorts": [465]}]}], (25, 465, 587, 2525)),
        (
            [
                {
                    "name": "hop",
                    "match": {"recipientDomains": ["a.example"]},
                    "smarthosts": [{"host": "a.example", "port": 2525, "alternatePorts": [465]}],
                },
                {"name": "mx"},
            ],
            (25, 465, 2525),
        ),
    ],
)
def test_only_the_ports_of_next_hops_are_left_by(routes: list[dict[str, Any]], out: tuple[int, ...]) -> None:
    """Port 25 is open only where some route needs it: what took over a pod should not become a spammer.

    Of a smarthost on port 25 the others are open too by which a blocked one is recognised.
    """
    assert ports(policy(routes=routes)["egress"]) == [(53, 5353), out]


def test_access_tokens_may_be_asked_for() -> None:
    """At the ports of the endpoints that the Secrets of smarthosts name, and at no others."""
    grants = [Grant(token_url=f"https://login.example{port}/token", client_id="app", client_secret="s") for port in ("", ":8443")]
    spec = gateway(routes=[{"name": "hop", "smarthosts": [{"host": "a.example", "port": 587}]}]).spec

    assert ports(network_policy(OWNER, spec, "system", grants)["spec"]["egress"])[1] == (443, 587, 8443)


def test_further_ports_are_those_of_pods_behind_services() -> None:
    """A Service's port is not the one that a network judges."""
    assert ports(policy(networkPolicy={"enabled": True, "extraEgressPorts": [10025, 25]})["egress"])[1] == (25, 10025)


def test_ports_that_are_entered_by_follow_the_listeners() -> None:
    """Mail and metrics from anywhere; the admin port from the operator's pods alone, by namespace and label at once."""
    mail, metrics, admin = policy(listeners=[{"name": "relay", "port": 25}, {"name": "submission", "port": 587}])["ingress"]

    assert ports([mail, metrics, admin]) == [(25, 587), (8080,), (8443,)]
    assert "from" not in mail
    assert "from" not in metrics
    ((peer,),) = (admin["from"],)
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "system"}
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "smtp-gateway-operator"}


def test_an_operator_outside_the_cluster_opens_nothing() -> None:
    """Without a namespace of its own there is nobody to let in."""
    assert ports(policy(operator_namespace="")["ingress"]) == [(587, 2525), (8080,)]


def test_the_users_labels_never_change_what_is_selected() -> None:
    """Pods keep the labels by which Services, budget and policy find them; annotations of the user's win over the operator's."""
    metadata = pods(labels={"team": "mail"}, annotations={"prometheus.io/scrape": "false"})["metadata"]

    assert metadata["labels"] == {"team": "mail"} | names.pod_labels(OWNER.name)
    assert metadata["annotations"]["prometheus.io/scrape"] == "false"
    assert metadata["annotations"]["prometheus.io/port"] == "8080"


def test_a_spread_counts_the_gateways_own_pods() -> None:
    """Kubernetes would count no pod at all without a selector."""
    (spread,) = pods(topologySpreadConstraints=[{"topologyKey": "topology.kubernetes.io/zone"}])["spec"]["topologySpreadConstraints"]

    assert spread["labelSelector"] == {"matchLabels": names.selector(OWNER.name)}


def test_what_is_large_is_handed_on_as_it_is() -> None:
    """An affinity of tomorrow's Kubernetes reaches the API server, which judges it."""
    affinity = {"ofTomorrow": {"matchExpressions": [{"key": "a"}]}}

    assert pods(affinity=affinity)["spec"]["affinity"] == affinity


def test_resources_replace_the_default_whole() -> None:
    """A request above a default limit that nobody asked for would be refused."""
    (container,) = pods(resources={"requests": {"memory": "4Gi", "cpu": 2}})["spec"]["containers"]

    assert container["resources"] == {"requests": {"memory": "4Gi", "cpu": 2}}


def test_nothing_is_said_that_was_not_asked_for() -> None:
    """Admission plug-ins give pods without a class or tolerations their defaults."""
    said = set(pods()["spec"])

    assert not {"nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets"} & said
