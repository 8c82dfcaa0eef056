"""What makes an open relay of a listener without a login: each cause found, told, and withheld until it is acknowledged by name."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway_operator import desired
from smtp_gateway_operator.cluster.api import NETWORK_POLICY, NODE, SERVICE, STATEFUL_SET, ForbiddenError, UnavailableError
from smtp_gateway_operator.cluster.nodes import places_of
from smtp_gateway_operator.open_relay import Assessment, Place, asks_for_nodes, assess, exposed
from smtp_gateway_operator.spec import Risk, to_config
from smtp_gateway_operator.status.conditions import Findings, status_of
from smtp_gateway_operator.status.rollout import Rollout
from smtp_gateway_operator.status.transitions import transitions
from tests.unit.operator.setting import IMAGES, KEY, NOW, Setting, gateway, resource

if TYPE_CHECKING:
    from smtp_gateway_operator.cluster.api import Object

SUBMISSION = {"name": "submission", "port": 587}
NODES = (
    Place(ip_network("10.1.2.3/32"), "an address of node n1"),
    Place(ip_network("10.244.1.0/24"), "the pods of node n1"),
    Place(ip_network("2001:db8::3/128"), "an address of node n1"),
)
WIDE, CLUSTER, HIDDEN = Risk.WIDE_NETWORK, Risk.CLUSTER_ADDRESSES, Risk.SOURCE_NAT


def relay(*networks: str, **changed: Any) -> dict[str, Any]:
    """Return a listener that trusts *networks*."""
    return {"name": "relay", "port": 25, "auth": "None", "allowedNetworks": list(networks)} | changed


def node(name: str, *addresses: str, pods: tuple[str, ...] = ()) -> Object:
    """Return a node as the API server tells it."""
    listed = [{"type": "Hostname", "address": name}, *({"type": "InternalIP", "address": one} for one in addresses)]
    metadata = {"name": name, "namespace": ""}
    spec = {"podCIDR": pods[0], "podCIDRs": list(pods)} if pods else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": {"addresses": listed}}


def risks(listener: dict[str, Any], places: tuple[Place, ...] | None = NODES, **spec: Any) -> list[Risk]:
    """Return the risks of a gateway with that listener which are not acknowledged."""
    return [finding.risk for finding in assess(gateway(listeners=[SUBMISSION, listener], **spec).spec, places).withheld]


@pytest.mark.parametrize(
    ("listener", "found"),
    [
        (relay("192.0.2.0/24"), []),
        (relay("192.0.2.7/32"), []),
        (relay("192.0.2.0/23"), [WIDE]),
        (relay("192.0.0.0/16", "198.51.100.0/24"), [WIDE]),
        (relay("2001:db8:9::/64"), []),
        (relay("2001:db8:8::/63"), [WIDE]),
        (relay("10.1.2.0/24"), [CLUSTER]),
        (relay("10.1.2.3/32"), [CLUSTER]),
        (relay("10.1.2.4/32"), []),
        (relay("10.244.1.128/25"), [CLUSTER]),
        (relay("10.244.2.0/24"), []),
        (relay("2001:db8::/64"), [CLUSTER]),
        (relay("10.0.0.0/8"), [WIDE, CLUSTER]),
        (relay("10.0.0.0/8", acknowledgedRisks=["ClusterAddresses"]), [WIDE]),
        (relay("10.0.0.0/8", acknowledgedRisks=["WideNetwork", "ClusterAddresses"]), []),
        (relay("10.0.0.0/8", acknowledgedRisks=["SourceNAT"]), [WIDE, CLUSTER]),
        (relay(allowedRecipientDomains=["corp.example"]), []),
        (SUBMISSION | {"name": "other", "port": 2525}, []),
        (relay("192.0.2.0/24", proxyProtocol={"trusted": ["198.51.100.0/24"]}), []),
        (relay("192.0.2.0/24", proxyProtocol={"trusted": ["198.51.0.0/16"]}), [WIDE]),
        (relay("192.0.2.0/24", proxyProtocol={"trusted": ["10.1.2.3/32"]}), [CLUSTER]),
        (SUBMISSION | {"name": "other", "port": 2525, "proxyProtocol": {"trusted": ["10.0.0.0/8"]}}, []),
    ],
)
def test_networks_are_risks(listener: dict[str, Any], found: list[Risk]) -> None:
    """One local network is /24, or /64 of IPv6; one with a node's or a pod's address is everybody's who stands behind it.

    So is one of proxies: from there anybody may say that he is a client of an allowed network.
    """
    assert risks(listener) == found


@pytest.mark.parametrize(
    ("service", "found"),
    [
        ({"type": "ClusterIP"}, []),
        ({"type": "NodePort"}, [HIDDEN]),
        ({"type": "LoadBalancer"}, [HIDDEN]),
        ({"type": "NodePort", "externalTrafficPolicy": "Local"}, []),
        ({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}, []),
    ],
)
def test_a_service_that_hides_addresses_is_a_risk(service: dict[str, Any], found: list[Risk]) -> None:
    """Behind source NAT every client looks like a node; a listener that asks nothing of addresses has nothing to fear."""
    assert risks(relay("192.0.2.0/24"), service=service) == found
    assert risks(relay("192.0.2.0/24", acknowledgedRisks=["SourceNAT"]), service=service) == []
    assert risks(relay("192.0.2.0/24", proxyProtocol={"trusted": ["198.51.100.1/32"]}), service=service) == []
    assert risks(relay(allowedRecipientDomains=["corp.example"]), service=service) == []
    assert risks(SUBMISSION | {"name": "other", "port": 2525}, service=service) == []


def test_a_finding_says_what_was_found() -> None:
    """The sentence names the network, the node and the Service, so that nobody has to guess."""
    many = tuple(Place(ip_network(f"10.1.2.{number}/32"), f"an address of node n{number}") for number in range(5))
    found = assess(gateway(listeners=[relay("10.0.0.0/8", "172.16.0.0/12")], service={"type": "NodePort"}).spec, many).withheld

    assert [one.sentence for one in found] == [
        "10.0.0.0/8; 172.16.0.0/12 are wider than /24, or /64 of IPv6",
        "a network of clients or proxies holds 10.1.2.0, an address of node n0; 10.1.2.1, an address of node n1; 10.1.2.2, an address of node n2; and 2 more",
        "a Service of type NodePort with externalTrafficPolicy Cluster hides clients' addresses behind those of nodes",
    ]


def test_nodes_matter_only_to_trusted_networks() -> None:
    """Who trusts no network, or acknowledged the risk, costs the API server no list of nodes."""
    assert asks_for_nodes(gateway(listeners=[relay("192.0.2.0/24")]).spec)
    assert not asks_for_nodes(gateway().spec)
    assert not asks_for_nodes(gateway(listeners=[relay(allowedRecipientDomains=["corp.example"])]).spec)
    assert not asks_for_nodes(gateway(listeners=[relay("192.0.2.0/24", acknowledgedRisks=["ClusterAddresses"])]).spec)


def test_nodes_say_where_they_and_their_pods_are() -> None:
    """Addresses inside and outside, pods of both families, whatever order nodes come in; what is no address says nothing."""
    second = node("b", "10.1.2.4", "2001:db8::4", pods=("10.244.2.0/24", "2001:db8:2::/64"))
    old = node("a") | {"spec": {"podCIDR": "10.244.1.0/24"}}
    bare = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "c"}}
    odd = node("d", "not an address", pods=("10.244.300.0/24",))

    assert places_of([second, bare, odd, old]) == (
        Place(ip_network("10.244.1.0/24"), "the pods of node a"),
        Place(ip_network("10.1.2.4/32"), "an address of node b"),
        Place(ip_network("2001:db8::4/128"), "an address of node b"),
        Place(ip_network("10.244.2.0/24"), "the pods of node b"),
        Place(ip_network("2001:db8:2::/64"), "the pods of node b"),
    )


def kinds(wanted: Any) -> dict[str, Any]:
    """Return the children by kind, the Services by name."""
    return {f"{one['kind']} {one['metadata']['name']}": one for one in wanted}


def test_only_what_is_risky_is_withheld() -> None:
    """Without its risky listener a gateway's Services, pods and NetworkPolicy are as if it had never been asked for."""
    asked = gateway(listeners=[SUBMISSION, relay("10.0.0.0/8")], networkPolicy={"enabled": True})
    without = gateway(listeners=[SUBMISSION], networkPolicy={"enabled": True})
    given = exposed(asked, assess(asked.spec, NODES))

    assert given == without
    assert exposed(without, assess(without.spec, NODES)) is without


def test_with_every_listener_withheld_nothing_is_open() -> None:
    """No Service, since none is without a port, no port of the pods, and no rule of the NetworkPolicy that would let all ports in."""
    asked = gateway(listeners=[relay("10.0.0.0/8")], networkPolicy={"enabled": True})
    given = exposed(asked, assess(asked.spec, NODES))
    made = kinds(desired.children(given, to_config(given, ()), IMAGES))

    assert "Service mail" not in made
    assert made["Service mail-pods"]["spec"]["ports"] == []
    assert [port["containerPort"] for port in made["StatefulSet mail"]["spec"]["template"]["spec"]["containers"][0]["ports"]] == [
        8080,
        8443,
    ]
    assert [rule["ports"] for rule in made["NetworkPolicy mail"]["spec"]["ingress"]] == [[{"port": 8080, "protocol": "TCP"}]]


async def setting(*listeners: dict[str, Any], nodes: tuple[Object, ...] = (), **spec: Any) -> Setting:
    """Return a cluster with *nodes* and a gateway with *listeners* that was reconciled, and whose pods are ready."""
    setting = Setting()
    await setting.given(resource(listeners=list(listeners), **spec), *nodes)
    await setting.reconcile(KEY)
    await setting.pods_become_ready()
    await setting.reconcile(KEY)
    return setting


async def ports(setting: Setting) -> list[int]:
    """Return the ports of the Service."""
    return [port["port"] for port in (await setting.get(SERVICE))["spec"]["ports"]]


async def test_a_risk_is_withheld_told_and_acknowledged() -> None:
    """The listener is not rendered, the rest serves on, Ready and Events say why; acknowledged by name it is opened, and not before."""
    found = await setting(SUBMISSION, relay("192.0.0.0/16"), networkPolicy={"enabled": True})

    status, reason, message = await found.condition("OpenRelayRisk")
    assert (status, reason) == ("True", "WideNetwork")
    assert message == (
        "not opened: relay; relay (WideNetwork): 192.0.0.0/16 is wider than /24, or /64 of IPv6;"
        " acknowledge each risk in the listener's acknowledgedRisks, or remove it"
    )
    assert (await found.condition("Ready"))[:2] == ("False", "WideNetwork")
    assert await ports(found) == [587]
    assert [one["name"] for one in (await found.config())["listeners"]] == ["submission"]
    assert (await found.get(NETWORK_POLICY))["spec"]["ingress"][0]["ports"] == [{"port": 587, "protocol": "TCP"}]
    assert [one["name"] for one in (await found.status())["endpoints"]] == ["submission"]
    assert ("Warning", "WideNetwork") in found.reasons()

    await found.change(listeners=[SUBMISSION, relay("192.0.0.0/16", acknowledgedRisks=["SourceNAT"])])
    await found.reconcile(KEY)
    assert await ports(found) == [587]

    await found.change(listeners=[SUBMISSION, relay("192.0.0.0/16", acknowledgedRisks=["WideNetwork"])])
    await found.reconcile(KEY)
    await found.pods_become_ready()
    await found.reconcile(KEY)
    assert await ports(found) == [587, 25]
    assert (await found.condition("OpenRelayRisk"))[:2] == ("False", "Acknowledged")
    assert (await found.condition("Ready"))[0] == "True"
    assert found.reasons().count(("Warning", "WideNetwork")) == 1
    assert ("Normal", "Acknowledged") in found.reasons()


async def test_a_risk_that_is_not_acknowledged_any_more_closes_the_door() -> None:
    """Taking the acknowledgement back takes the listener back, the only one included: then there is no Service, and pods stay."""
    found = await setting(relay("192.0.0.0/16", acknowledgedRisks=["WideNetwork"]))
    assert await ports(found) == [25]

    await found.change(listeners=[relay("192.0.0.0/16")])
    await found.reconcile(KEY)

    assert not await found.exists(SERVICE, "mail")
    assert (await found.config())["listeners"] == []
    assert await found.exists(STATEFUL_SET, "mail")
    assert (await found.condition("OpenRelayRisk"))[:2] == ("True", "WideNetwork")


async def test_what_cannot_be_withheld_yet_is_not_said_to_be() -> None:
    """While a paused gateway runs on as it is, the condition says that the listener is still to be closed."""
    found = await setting(SUBMISSION, relay("192.0.0.0/16", acknowledgedRisks=["WideNetwork"]))

    await found.change(paused=True, listeners=[SUBMISSION, relay("192.0.0.0/16")])
    await found.reconcile(KEY)

    assert await ports(found) == [587, 25]
    status, _, message = await found.condition("OpenRelayRisk")
    assert status == "True"
    assert message.startswith("not to be opened, once something can be changed: relay;")


async def test_nodes_are_looked_at() -> None:
    """A network with a node's address is withheld; a node that comes later is seen with a later reconcile."""
    found = await setting(SUBMISSION, relay("10.1.2.0/24"), nodes=(node("n1", "10.9.9.9", pods=("10.244.1.0/24",)),))
    assert (await found.condition("OpenRelayRisk"))[:2] == ("False", "NoRisk")
    assert await ports(found) == [587, 25]

    await found.given(node("n2", "10.1.2.7"))
    await found.reconcile(KEY)
    assert (await found.condition("OpenRelayRisk"))[0] == "False"  # asked once a minute, for all gateways
    found.later(minutes=5)
    await found.reconcile(KEY)

    status, reason, message = await found.condition("OpenRelayRisk")
    assert (status, reason) == ("True", "ClusterAddresses")
    assert "relay (ClusterAddresses): a network of clients or proxies holds 10.1.2.7, an address of node n2" in message
    assert await ports(found) == [587]


async def test_nodes_that_may_not_be_read_are_said_to_be_unknown() -> None:
    """An operator of some namespaces does not guess: the listener is open, and what was not looked at is told until it is acknowledged."""
    found = Setting()
    await found.given(resource(listeners=[SUBMISSION, relay("10.1.2.0/24")]))
    for _ in range(2):
        found.cluster.fail("list", ForbiddenError("nodes is forbidden"), NODE)
    await found.reconcile(KEY)
    await found.pods_become_ready()
    await found.reconcile(KEY)

    assert await ports(found) == [587, 25]
    status, reason, message = await found.condition("OpenRelayRisk")
    assert (status, reason) == ("Unknown", "NotChecked")
    assert message == (
        "the operator may not read nodes, so nobody knows whether allowed networks of relay hold addresses of nodes or pods;"
        " give it the right (chart value readNodes), or acknowledge ClusterAddresses"
    )
    assert (await found.condition("Ready"))[:2] == ("Unknown", "NotChecked")

    await found.change(listeners=[SUBMISSION, relay("10.1.2.0/24", acknowledgedRisks=["ClusterAddresses"])])
    await found.reconcile(KEY)
    await found.pods_become_ready()
    await found.reconcile(KEY)
    assert (await found.condition("OpenRelayRisk"))[0] == "False"
    assert (await found.condition("Ready"))[0] == "True"


async def test_a_right_that_is_given_counts_at_once() -> None:
    """The next reconcile after it looks at the nodes."""
    found = Setting()
    await found.given(resource(listeners=[SUBMISSION, relay("10.1.2.0/24")]), node("n1", "10.1.2.7"))
    found.cluster.fail("list", ForbiddenError("nodes is forbidden"), NODE)
    await found.reconcile(KEY)
    assert (await found.condition("OpenRelayRisk"))[0] == "Unknown"

    await found.reconcile(KEY)
    assert (await found.condition("OpenRelayRisk"))[:2] == ("True", "ClusterAddresses")


async def test_nodes_that_cannot_be_read_now_are_asked_again() -> None:
    """A failure is neither a risk nor the absence of one: nothing is changed before the answer is there."""
    found = Setting()
    await found.given(resource(listeners=[SUBMISSION, relay("10.1.2.0/24")]))
    found.cluster.fail("list", UnavailableError("timed out"), NODE)

    assert await found.put_off()
    assert not await found.exists(SERVICE, "mail")
    assert not await found.put_off()
    assert await ports(found) == [587, 25]


async def test_gateways_that_ask_nothing_of_addresses_cost_no_list_of_nodes() -> None:
    """The usual gateway neither needs the right nor causes the request."""
    found = await setting(SUBMISSION, relay(allowedRecipientDomains=["corp.example"]))

    assert not [call for call in found.cluster.calls if call.kind == NODE]
    assert (await found.condition("OpenRelayRisk"))[:2] == ("False", "NoRisk")


async def test_a_resource_that_is_not_understood_is_not_judged() -> None:
    """Neither safe nor risky: nobody knows."""
    found = await setting(SUBMISSION)

    await found.change(hostname="not a name")
    await found.reconcile(KEY)

    assert (await found.condition("OpenRelayRisk"))[:2] == ("Unknown", "ConfigInvalid")


networks = st.sampled_from(
    ["10.0.0.0/8", "10.1.2.0/24", "10.244.0.0/16", "192.0.2.0/24", "192.0.2.0/25", "2001:db8::/32", "2001:db8:9::/64"]
)
relays = st.builds(
    lambda trusted, acknowledged, domains: relay(*trusted, acknowledgedRisks=sorted(acknowledged), allowedRecipientDomains=domains),
    st.lists(networks, min_size=1, max_size=3, unique=True),
    st.sets(st.sampled_from(list(Risk))),
    st.sampled_from([[], ["corp.example"]]),
)
services = st.sampled_from([{}, {"type": "NodePort"}, {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}])
places = st.none() | st.lists(st.sampled_from(NODES), unique=True).map(tuple)


def judged(assessment: Assessment, previous: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Return the status of a gateway that is well but for *assessment*."""
    found = Findings(1, Rollout(1, pods=1, ready=1, settled=True), relaying=assessment)
    return status_of(KEY, (), found, previous, NOW + timedelta(seconds=seconds))


@given(relays, services, places, st.randoms(use_true_random=False))
def test_the_judgement_does_not_flap(
    listener: dict[str, Any], service: dict[str, Any], seen: tuple[Place, ...] | None, chance: Any
) -> None:
    """The same resource and the same nodes in any order get the same condition, no second Event, and the same listeners."""
    asked = gateway(listeners=[SUBMISSION, listener], service=service)
    shuffled = None if seen is None else tuple(chance.sample(seen, len(seen)))
    first, again = assess(asked.spec, seen), assess(asked.spec, shuffled)

    before = judged(first, {}, 0)
    after = judged(again, before, 60)
    assert [one.name for one in exposed(asked, first).spec.listeners] == [one.name for one in exposed(asked, again).spec.listeners]
    assert transitions(before, after) == ()
    assert [one["lastTransitionTime"] for one in after["conditions"]] == [one["lastTransitionTime"] for one in before["conditions"]]


@given(relays, services, places)
def test_a_listener_is_open_or_its_risk_is_true(listener: dict[str, Any], service: dict[str, Any], seen: tuple[Place, ...] | None) -> None:
    """What is withheld is told as True and makes Ready False; what is acknowledged is open; each finding is one or the other."""
    asked = gateway(listeners=[SUBMISSION, listener], service=service)
    found = assess(asked.spec, seen)
    conditions = {one["type"]: one["status"] for one in judged(found, {}, 0)["conditions"]}
    unacknowledged = assess(gateway(listeners=[SUBMISSION, listener | {"acknowledgedRisks": []}], service=service).spec, seen)

    open_names = [one.name for one in exposed(asked, found).spec.listeners]
    assert ("relay" in open_names) == (conditions["OpenRelayRisk"] != "True")
    if "relay" not in open_names:
        assert conditions["Ready"] == "False"
    assert {*found.withheld, *found.acknowledged} == set(unacknowledged.withheld)
    assert {one.risk for one in found.withheld}.isdisjoint(listener["acknowledgedRisks"])
