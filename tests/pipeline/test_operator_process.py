"""The operator's process on a cluster in memory: it waits for the resource's definition, works, tells its metrics, and stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
from structlog.testing import capture_logs

from smtp_gateway_operator.cluster.api import GATEWAY, STATEFUL_SET, News, NotFoundError
from smtp_gateway_operator.cluster.memory import MemoryCluster
from smtp_gateway_operator.startup import process as module
from smtp_gateway_operator.startup.process import Options, Process
from tests.support.waiting import eventually
from tests.unit.operator.setting import IMAGES, KEY, resource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, MutableMapping
    from typing import Any

    Logs = list[MutableMapping[str, Any]]


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """What was logged."""
    with capture_logs() as lines:
        yield lines


class Client:
    """A connection that notes its end."""

    closed = False

    async def close(self) -> None:
        """End."""
        self.closed = True


@pytest.fixture
def client() -> Client:
    """The connection of the process."""
    return Client()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, client: Client) -> MemoryCluster:
    """The cluster that the process finds at the other end of its connection."""
    cluster = MemoryCluster()

    async def connect(_: int) -> Client:
        return client

    monkeypatch.setattr(module, "connect", connect)
    monkeypatch.setattr(module, "KubeCluster", lambda _: cluster)
    monkeypatch.setattr(module, "AGAIN", 0.01)
    return cluster


@pytest.fixture
async def process(cluster: MemoryCluster, unused_tcp_port: int) -> AsyncIterator[Process]:
    """A process that watches one namespace; stopped in any case."""
    assert cluster.calls == []
    process = Process(Options((KEY.namespace,), IMAGES, http_port=unused_tcp_port, probe_port=0))
    yield process
    await process.stop()


def has_stateful_set(cluster: MemoryCluster, name: str) -> bool:
    """Tell whether the gateway was reconciled."""
    return any(ref.kind == STATEFUL_SET and ref.name == name for ref in cluster.refs())


async def exposition(port: int) -> str:
    """Return what the process tells Prometheus."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.status == 200
        return await answer.text()


async def test_gateways_that_are_there_are_reconciled_at_the_start(cluster: MemoryCluster, process: Process) -> None:
    """What happened while no operator ran is caught up with, without a word from a watch."""
    await cluster.create(resource())

    await process.start()

    await eventually(lambda: has_stateful_set(cluster, "mail"), what="the gateway is reconciled")
    assert process.health() == "working"


async def test_news_of_a_gateway_is_acted_on(cluster: MemoryCluster, process: Process, unused_tcp_port: int) -> None:
    """A gateway that a watch tells of is reconciled, and the moment of the news is a metric."""
    await process.start()
    created = await cluster.create(resource("late"))

    process.heard(GATEWAY, KEY._replace(name="late"), News(created))

    await eventually(lambda: has_stateful_set(cluster, "late"), what="the gateway is reconciled")
    text = await exposition(unused_tcp_port)
    assert 'smtp_gateway_operator_watch_last_event_timestamp_seconds{resource="smtpgateways"}' in text
    assert "smtp_gateway_operator_queue_depth 0.0" in text


async def test_the_start_waits_for_the_definition_and_says_so_once(cluster: MemoryCluster, process: Process, logs: Logs) -> None:
    """An operator that is there before its CRD begins to work when that comes, without a restart and without a flood of lines."""
    for _ in range(3):
        cluster.fail("list", NotFoundError("the server could not find the requested resource"), GATEWAY)
    await cluster.create(resource())

    await process.start()

    await eventually(lambda: has_stateful_set(cluster, "mail"), what="the gateway is reconciled")
    assert [line["event"] for line in logs].count("waiting for the API server to know the resource") == 1


async def test_stop_ends_the_work_and_closes_the_connection(process: Process, client: Client, unused_tcp_port: int) -> None:
    """After a stop nothing listens, nothing works, and the probe says so."""
    await process.start()

    await process.stop()

    assert client.closed
    with pytest.raises(RuntimeError, match="does not run"):
        process.health()
    with pytest.raises(aiohttp.ClientError):
        await exposition(unused_tcp_port)
