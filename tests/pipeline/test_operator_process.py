"""The operator's process on a cluster in memory: it waits for the resource's definition, works, tells its metrics, and stops."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from smtp_gateway_operator.cluster.api import GATEWAY, LEASE, SECRET, STATEFUL_SET, News, NotFoundError, Ref, ref_of
from smtp_gateway_operator.cluster.cache import CachedCluster
from smtp_gateway_operator.cluster.memory import MemoryCluster
from smtp_gateway_operator.metrics import METRICS
from smtp_gateway_operator.names import OPERATOR
from smtp_gateway_operator.startup import process as module
from smtp_gateway_operator.startup.contact import Contact
from smtp_gateway_operator.startup.lease import Terms
from smtp_gateway_operator.startup.process import Options, Process
from tests.support.promtool import complaints
from tests.support.waiting import eventually
from tests.unit.operator.setting import IMAGES, KEY, LOGINS, ref, resource, secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, MutableMapping

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
    monkeypatch.setattr(module, "TERMS", Terms(renew=0.02, retry=0.01, give_up=1.0))
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


async def test_every_documented_metric_is_scraped_from_an_operator_at_work(
    cluster: MemoryCluster, process: Process, unused_tcp_port: int
) -> None:
    """The page and the table have the same names and types, both ways; Prometheus' tool likes it; and what has not happened is there at 0."""
    created = await cluster.create(resource())
    await process.start()
    process.heard(GATEWAY, KEY, News(created))
    await eventually(lambda: has_stateful_set(cluster, "mail"), what="the gateway is reconciled")
    text = await exposition(unused_tcp_port)

    assert sorted(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)) == sorted((metric.name, metric.type) for metric in METRICS)
    assert await asyncio.to_thread(complaints, text.encode()) == ""
    assert 'smtp_gateway_operator_reconcile_total{result="error"} 0.0' in text
    assert 'smtp_gateway_operator_watch_missed_total{resource="secrets"} 0.0' in text


async def test_the_start_waits_for_the_definition_and_says_so_once(cluster: MemoryCluster, process: Process, logs: Logs) -> None:
    """An operator that is there before its CRD begins to work when that comes, without a restart and without a flood of lines."""
    for _ in range(3):
        cluster.fail("list", NotFoundError("the server could not find the requested resource"), GATEWAY)
    await cluster.create(resource())

    await process.start()

    await eventually(lambda: has_stateful_set(cluster, "mail"), what="the gateway is reconciled")
    assert [line["event"] for line in logs].count("waiting for the API server to know the resource") == 1


async def test_a_stop_leaves_nobody_waiting(cluster: MemoryCluster) -> None:
    """The flag that kopf waits for is set then, or the process would stay for five seconds more, and with it every upgrade."""
    assert cluster.refs() == ()
    ended = asyncio.Event()
    process = Process(Options((KEY.namespace,), IMAGES, http_port=0, probe_port=0), ended.set)
    await process.start()
    assert not ended.is_set()

    await process.stop()

    assert ended.is_set()


async def test_stop_ends_the_work_and_closes_the_connection(process: Process, client: Client, unused_tcp_port: int) -> None:
    """After a stop nothing listens, nothing works, and the probe says so."""
    await process.start()

    await process.stop()

    assert client.closed
    with pytest.raises(RuntimeError, match="does not run"):
        process.health()
    with pytest.raises(aiohttp.ClientError):
        await exposition(unused_tcp_port)


async def answer(port: int, path: str) -> tuple[int, str]:
    """Return what a probe gets."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_a_second_operator_is_alive_and_not_ready(cluster: MemoryCluster, unused_tcp_port: int) -> None:
    """While another one holds the Lease it does nothing but say so, and it begins when that one lets go."""
    first = Process(Options((KEY.namespace,), IMAGES, http_port=0, probe_port=0, identity="first"))
    await first.start()
    second = Process(Options((KEY.namespace,), IMAGES, http_port=0, probe_port=unused_tcp_port, identity="second"))
    starting = asyncio.create_task(second.start())
    await cluster.create(resource("late"))
    lease = Ref(LEASE, KEY.namespace, OPERATOR)
    await eventually(lambda: second.waits_for() == "first", what="it knows who works")

    assert await answer(unused_tcp_port, "/readyz") == (503, "first holds the Lease\n")
    assert (await answer(unused_tcp_port, "/healthz"))[0] == 200
    assert not has_stateful_set(cluster, "late")

    await first.stop()
    await starting
    assert await answer(unused_tcp_port, "/readyz") == (200, "working\n")
    found = await cluster.get(lease)
    assert found is not None
    assert found["spec"]["holderIdentity"] == "second"
    await second.stop()


async def test_a_lost_lease_ends_the_work_at_once(cluster: MemoryCluster, unused_tcp_port: int) -> None:
    """Another name in the Lease is the end: the work is broken off, and the process is told to end with a failure."""
    ended = asyncio.Event()
    process = Process(Options((KEY.namespace,), IMAGES, http_port=0, probe_port=unused_tcp_port, identity="first"), ended.set)
    await process.start()

    await cluster.patch(Ref(LEASE, KEY.namespace, OPERATOR), {"spec": {"holderIdentity": "second"}})

    await asyncio.wait_for(ended.wait(), 10)
    assert process.lost
    await eventually(lambda: process_is_unhealthy(process), what="nothing works any more")
    await process.stop()
    found = await cluster.get(Ref(LEASE, KEY.namespace, OPERATOR))
    assert found is not None
    assert found["spec"]["holderIdentity"] == "second"


def process_is_unhealthy(process: Process) -> bool:
    """Tell whether the liveness probe fails."""
    try:
        process.health()
    except RuntimeError:
        return True
    return False


@pytest.fixture
async def several(cluster: MemoryCluster) -> AsyncIterator[tuple[Process, asyncio.Event]]:
    """A process of three namespaces, one of which is being deleted, and its wish to end."""
    cluster.terminating.add("gone")
    ended = asyncio.Event()
    process = Process(Options(("gone", KEY.namespace, "other"), IMAGES, http_port=0, probe_port=0, identity="first"), ended.set)
    yield process, ended
    await process.stop()


async def test_a_namespace_that_is_gone_keeps_no_other_waiting(cluster: MemoryCluster, several: tuple[Process, asyncio.Event]) -> None:
    """It is left out of what kopf is to watch and of what is listed, and the gateways of the others are reconciled."""
    process, ended = several
    await cluster.create(resource())

    await process.start()

    await eventually(lambda: has_stateful_set(cluster, "mail"), what="the gateway is reconciled")
    assert process.served == [KEY.namespace, "other"]
    assert process.health() == process.ready() == "working"
    assert not ended.is_set()


async def test_a_namespace_that_is_back_begins_another_life(cluster: MemoryCluster, several: tuple[Process, asyncio.Event]) -> None:
    """The process is told to end, without a failure, and lets go of what it holds; the next one serves all."""
    process, ended = several
    await process.start()

    cluster.terminating.clear()

    await asyncio.wait_for(ended.wait(), 10)
    assert not process.lost
    await process.stop()
    following = Process(Options(("gone", KEY.namespace, "other"), IMAGES, http_port=0, probe_port=0, identity="second"))
    await asyncio.wait_for(following.start(), 10)
    assert following.served == ["gone", KEY.namespace, "other"]
    await following.stop()


async def test_a_namespace_that_is_deleted_ends_one_life(cluster: MemoryCluster, unused_tcp_port: int) -> None:
    """Its Lease is lost; the process that is started again serves the others."""
    ended = asyncio.Event()
    process = Process(Options((KEY.namespace, "other"), IMAGES, http_port=0, probe_port=unused_tcp_port), ended.set)
    await process.start()

    cluster.terminating.add("other")
    lease = await cluster.get(Ref(LEASE, "other", OPERATOR))
    assert lease is not None
    await cluster.delete(ref_of(lease), lease["metadata"]["uid"])

    await asyncio.wait_for(ended.wait(), 10)
    assert process.lost
    await process.stop()
    following = Process(Options((KEY.namespace, "other"), IMAGES, http_port=0, probe_port=0))
    await asyncio.wait_for(following.start(), 10)
    assert following.served == [KEY.namespace]
    await following.stop()


async def test_a_stale_watch_fails_the_probe(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that a resync found and no watch tells is worth a new process, and so is a watch that asks no more."""
    await process.start()
    assert process.health() == "working"
    monkeypatch.setattr(CachedCluster, "stale", lambda _: ref(STATEFUL_SET))
    with pytest.raises(RuntimeError, match="the watch of statefulsets did not tell of mail in apps"):
        process.health()
    monkeypatch.setattr(Contact, "silent", lambda _: "/api/v1/pods")
    with pytest.raises(RuntimeError, match="the watch of /api/v1/pods is dead"):
        process.health()


async def test_a_changed_secret_is_acted_on(cluster: MemoryCluster, process: Process) -> None:
    """A login Secret is followed by its name: a change of it reconciles its gateway, without any other news."""
    await cluster.create(secret("app", alice="one"))
    await cluster.create(resource(logins=LOGINS))
    await process.start()
    await eventually(lambda: has_stateful_set(cluster, "mail") and ref(SECRET, "app") in cluster.watched, what="the Secret is followed")
    config = Ref(SECRET, KEY.namespace, "mail-config-0")
    told: list[News] = []
    cluster.listeners.append(told.append)
    await cluster.patch(ref(SECRET, "app"), {"data": {"alice": "dHdv"}})

    await eventually(lambda: any(ref_of(one.body) == config for one in told), what="the configuration is written anew")
