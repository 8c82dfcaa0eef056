"""kopf's settings that something depends on."""

from __future__ import annotations

from smtp_gateway_operator.cluster.api import WATCHED_KINDS
from smtp_gateway_operator.startup.process import FINISH
from smtp_gateway_operator.startup.settings import kopf_settings

GRACE = 30
"""Seconds that Kubernetes gives a pod by default (`terminationGracePeriodSeconds`)."""


def test_kopf_keeps_to_itself() -> None:
    """No peering objects, no Events of its own, and no search for namespaces and definitions, which the chart does not allow."""
    settings = kopf_settings()

    assert settings.peering.standalone is True
    assert settings.posting.enabled is False
    assert settings.scanning.disabled is True


def test_the_server_filters_what_is_not_ours() -> None:
    """Each watched kind of child has the selector, and the gateways, which nobody labels, have none."""
    selectors = kopf_settings().watching.label_selectors

    assert {(one.group, one.version, one.any_name) for one in selectors} == {
        (kind.group, kind.version, kind.plural) for kind in WATCHED_KINDS
    }
    assert set(selectors.values()) == {"app.kubernetes.io/managed-by=smtp-gateway-operator"}


def test_a_watch_ends_before_somebody_drops_it() -> None:
    """The server ends it first; the client's own timeout is only for a server that went silent. Every wait is bounded."""
    settings = kopf_settings()

    assert settings.watching.server_timeout is not None
    assert settings.watching.client_timeout is not None
    assert 0 < settings.watching.server_timeout < settings.watching.client_timeout < 350  # the shortest idle limit of the usual balancers
    assert settings.watching.connect_timeout
    assert settings.networking.request_timeout
    assert settings.networking.connect_timeout


def test_the_process_ends_within_its_grace() -> None:
    """What is in hand is finished before kopf gives up, and kopf gives up before the kubelet kills."""
    limit = kopf_settings().process.ultimate_exiting_timeout

    assert limit is not None
    assert FINISH < limit < GRACE
