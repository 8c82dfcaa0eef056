"""Who is let in, as the resource says it: proxies that are trusted, and how many connections one client may have."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway.config.resource import to_config
from tests.support.resources import gateway, refusal


def test_proxies_are_translated() -> None:
    """Networks of both families, for the listener that names them and no other."""
    behind = {"name": "smtp", "port": 587, "proxyProtocol": {"trusted": ["10.20.30.0/28", "2001:db8::/64"]}}
    listeners = to_config(gateway(listeners=[behind, {"name": "other", "port": 2525}]), ()).listeners

    assert [[str(network) for network in one.trusted_proxies] for one in listeners] == [["10.20.30.0/28", "2001:db8::/64"], []]


BEHIND = {"name": "smtp", "port": 587, "proxyProtocol": {"trusted": ["10.20.30.0/28"]}}


@pytest.mark.parametrize(
    ("spec", "ceiling"),
    [
        ({}, 50),
        ({"limits": {"connectionsPerClient": 7}}, 7),
        ({"service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}, 50),
        ({"service": {"type": "LoadBalancer"}}, None),
        ({"service": {"type": "NodePort"}}, None),
        ({"service": {"type": "NodePort"}, "limits": {"connectionsPerClient": 7}}, 7),
        ({"service": {"type": "LoadBalancer"}, "listeners": [BEHIND]}, 50),
        ({"service": {"type": "LoadBalancer"}, "listeners": [BEHIND, {"name": "other", "port": 2525}]}, None),
    ],
)
def test_a_client_has_a_ceiling_where_it_can_be_told_from_others(spec: dict[str, Any], ceiling: int | None) -> None:
    """Behind nodes that stand for everybody it would be one for everybody, unless a person chose it."""
    assert to_config(gateway(**spec), ()).limits.connections_per_client == ceiling


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"limits": {"connections": 10, "connectionsPerClient": 11}},
            "spec.limits: connectionsPerClient must not be more than connections",
        ),
        ({"listeners": [BEHIND | {"proxyProtocol": {"trusted": ["0.0.0.0/0"]}}]}, "must not be the whole Internet"),
        ({"listeners": [BEHIND | {"proxyProtocol": {"trusted": ["10.20.30.1/28"]}}]}, "must be a network such as 192.0.2.0/24"),
        ({"listeners": [BEHIND | {"proxyProtocol": {"trusted": []}}]}, "spec.listeners[0].proxyProtocol.trusted"),
        ({"listeners": [BEHIND | {"proxyProtocol": {}}]}, "spec.listeners[0].proxyProtocol.trusted"),
    ],
)
def test_who_is_let_in_is_said_clearly(spec: dict[str, Any], sentence: str) -> None:
    """Contradictions and trust in everybody are refused."""
    assert sentence in refusal(**spec)
