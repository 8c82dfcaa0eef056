"""The PodMonitor: made where the Prometheus Operator is, followed, given up; where there is none nothing is missing."""

from __future__ import annotations

import pytest

from smtp_gateway_operator.cluster.api import POD_MONITOR, STATEFUL_SET
from smtp_gateway_operator.cluster.children import ASK_AGAIN
from smtp_gateway_operator.cluster.memory import Call
from tests.unit.operator.setting import Setting, resource

LISTED = Call("list", POD_MONITOR)


@pytest.fixture
async def setting() -> Setting:
    """A gateway in a cluster with the Prometheus Operator."""
    setting = Setting()
    await setting.given(resource(monitoring={"podMonitor": {"enabled": True}}))
    return setting


async def test_it_selects_the_pods_and_names_their_port(setting: Setting) -> None:
    """What it scrapes is a port that the pods have; its labels are the user's and the operator's."""
    await setting.change(monitoring={"podMonitor": {"enabled": True, "labels": {"release": "kps"}, "interval": "1m"}})
    await setting.put_off()

    monitor, pod = await setting.get(POD_MONITOR), (await setting.get(STATEFUL_SET))["spec"]["template"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "http-metrics", "path": "/metrics", "interval": "60s"}
    assert endpoint["port"] in [port["name"] for port in pod["spec"]["containers"][0]["ports"]]
    assert {"release": "kps", "app.kubernetes.io/instance": "mail"}.items() <= monitor["metadata"]["labels"].items()


async def test_every_interval_of_the_resource_is_one_of_prometheus(setting: Setting) -> None:
    """Which wants larger units before smaller ones, each once, and would be refused otherwise."""
    await setting.change(monitoring={"podMonitor": {"enabled": True, "interval": "30s1m"}})
    await setting.put_off()

    assert (await setting.get(POD_MONITOR))["spec"]["podMetricsEndpoints"][0]["interval"] == "90s"


async def test_it_follows_and_goes(setting: Setting) -> None:
    """A change reaches it; when it is not wanted any more it is deleted."""
    await setting.put_off()
    await setting.change(monitoring={"podMonitor": {"enabled": True, "interval": "10s"}})
    await setting.put_off()
    assert (await setting.get(POD_MONITOR))["spec"]["podMetricsEndpoints"][0]["interval"] == "10s"

    await setting.change(monitoring={"podMonitor": {"enabled": False}})
    await setting.put_off()

    assert not await setting.exists(POD_MONITOR, "mail")


async def test_without_the_prometheus_operator_nothing_is_missing(setting: Setting) -> None:
    """The gateway is brought about all the same, and the API server is asked once for what it does not know."""
    setting.cluster.know(POD_MONITOR, known=False)

    for _ in range(3):
        await setting.put_off()

    assert await setting.exists(STATEFUL_SET, "mail")
    assert (await setting.condition("ReferencesResolved"))[0] == "True"
    assert [call for call in setting.cluster.calls if call.kind == POD_MONITOR] == [LISTED]


async def test_it_is_made_when_the_prometheus_operator_comes(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some minutes after its definitions were installed, without a restart."""
    setting.cluster.know(POD_MONITOR, known=False)
    await setting.put_off()
    setting.cluster.know(POD_MONITOR, known=True)
    await setting.put_off()
    assert not await setting.exists(POD_MONITOR, "mail")

    monkeypatch.setattr("smtp_gateway_operator.cluster.children.ASK_AGAIN", -ASK_AGAIN)
    await setting.put_off()

    assert await setting.exists(POD_MONITOR, "mail")


async def test_somebody_elses_monitor_is_left_alone(setting: Setting) -> None:
    """One of the gateway's name that somebody made by hand is a conflict, and not seized; the pods are there all the same."""
    await setting.given(
        {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "mail", "namespace": "apps"}, "spec": {}}
    )

    assert await setting.put_off()

    assert (await setting.condition("Progressing"))[1] == "OwnershipConflict"
    assert (await setting.get(POD_MONITOR))["spec"] == {}
    assert await setting.exists(STATEFUL_SET, "mail")
