"""Smarthosts of one route in the resource: each is named once."""

from __future__ import annotations

import pytest

from tests.support.resources import gateway, refusal

HOPS = ({"host": "mx.example"}, {"host": "mx.example", "port": 587}, {"host": "mx.example", "credentialsRef": {"name": "one"}})
SENTENCE = "the smarthosts of a route differ in host, port or credentialsRef: to have one tried more often, give it a weight"


@pytest.mark.parametrize("hop", HOPS)
def test_a_smarthost_that_is_named_twice_is_refused(hop: dict[str, object]) -> None:
    """Its metrics would have two equal series, whatever else is said of it."""
    assert refusal(routes=[{"name": "a", "smarthosts": [*HOPS, hop | {"weight": 1}]}]) == f"spec.routes[0].smarthosts: {SENTENCE}"


def test_smarthosts_of_one_name_differ_by_port_or_account() -> None:
    """Two accounts at one host are two smarthosts, as are two ports; the same one may be in several routes."""
    hops = [*HOPS, {"host": "mx.example", "credentialsRef": {"name": "other"}}]
    routes = [{"name": "first", "match": {"recipientDomains": ["a.example"]}, "smarthosts": hops}, {"name": "last", "smarthosts": hops}]

    assert [len(route.smarthosts) for route in gateway(routes=routes).spec.routes] == [4, 4]
