"""The watch of one object, against a small HTTP server that streams what the test says."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from smtp_gateway_operator.cluster import kube
from smtp_gateway_operator.cluster.api import SECRET, ExpiredError, ForbiddenError, News, Object, Ref, UnavailableError
from smtp_gateway_operator.cluster.kube import KubeCluster
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONE = Ref(SECRET, "apps", "one")


def secret(version: str, padding: int = 0) -> Object:
    """Return the Secret at *version*."""
    return {"kind": "Secret", "metadata": {"name": "one", "resourceVersion": version}, "data": {"a": "x" * padding}}


class Streaming:
    """Answers a watch with lines, and keeps it open when the test wants."""

    def __init__(self) -> None:
        """Answer with nothing."""
        self.lines: list[bytes] = []
        self.status = 200
        self.open = asyncio.Event()
        self.query: dict[str, str] = {}
        self.watchers = 0

    def tells(self, kind: str, body: Object) -> None:
        """Add one event."""
        self.lines.append(json.dumps({"type": kind, "object": body}).encode() + b"\n")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one watch."""
        self.query = dict(request.query)
        if self.status != 200:
            return web.json_response({"kind": "Status", "message": "the server's own words"}, status=self.status)
        response = web.StreamResponse()
        await response.prepare(request)
        self.watchers += 1
        try:
            for line in self.lines:
                await response.write(line)
            await self.open.wait()
        finally:
            self.watchers -= 1
        return response


@pytest.fixture
async def streaming() -> AsyncIterator[tuple[Streaming, KubeCluster]]:
    """The server, and a client of it."""
    server, application = Streaming(), web.Application()
    application.router.add_get("/api/v1/namespaces/apps/secrets", server.handle)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ApiClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")) as client:
        yield server, KubeCluster(client)
    server.open.set()
    await runner.cleanup()


async def told(cluster: KubeCluster) -> list[Any]:
    """Return everything that one watch tells until the server ends it."""
    return [news async for news in cluster.watch(ONE, "5")]


async def test_a_watch_asks_for_one_name_and_tells_what_becomes_of_it(streaming: tuple[Streaming, KubeCluster]) -> None:
    """The name alone is asked for, from where the list was; news, bookmarks and the deletion come in their order."""
    server, cluster = streaming
    server.tells("MODIFIED", secret("6"))
    server.tells("BOOKMARK", {"kind": "Secret", "metadata": {"resourceVersion": "9"}})
    server.tells("DELETED", secret("10"))
    server.open.set()

    assert await told(cluster) == [News(secret("6")), "9", News(secret("10"), deleted=True)]

    assert 300 <= int(server.query.pop("timeoutSeconds")) <= 600
    assert server.query == {
        "fieldSelector": "metadata.name=one",
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "5",
    }


async def test_the_largest_secret_is_one_event(streaming: tuple[Streaming, KubeCluster]) -> None:
    """A Secret may hold a mebibyte, which base64 makes a third larger."""
    server, cluster = streaming
    server.tells("MODIFIED", secret("6", padding=1_500_000))
    server.open.set()

    assert await told(cluster) == [News(secret("6", padding=1_500_000))]


async def test_a_version_that_is_forgotten_is_told_apart(streaming: tuple[Streaming, KubeCluster]) -> None:
    """The server says so in the stream, as an error of its own code."""
    server, cluster = streaming
    server.tells("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
    server.open.set()

    with pytest.raises(ExpiredError, match="too old resource version"):
        await told(cluster)


async def test_a_refused_watch_is_refused(streaming: tuple[Streaming, KubeCluster]) -> None:
    """As any other request."""
    server, cluster = streaming
    server.status = 403

    with pytest.raises(ForbiddenError, match="the server's own words"):
        await told(cluster)


async def test_a_silent_watch_is_dead(streaming: tuple[Streaming, KubeCluster], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without even a bookmark for longer than the server takes for one, the connection is given up."""
    _, cluster = streaming
    monkeypatch.setattr(kube, "SILENCE", 0.05)

    with pytest.raises(UnavailableError, match="TimeoutError"):
        await told(cluster)


@pytest.mark.parametrize("line", [b"<html>a proxy's page</html>\n", b"{}\n", b'{"type": "MODIFIED", "object": {}}\n', b"[]\n"])
async def test_words_of_somebody_else_end_the_watch(streaming: tuple[Streaming, KubeCluster], line: bytes) -> None:
    """What is no event of Kubernetes is no news."""
    server, cluster = streaming
    server.lines.append(line)
    server.open.set()

    with pytest.raises(UnavailableError):
        await told(cluster)


async def test_a_watch_that_is_left_closes_its_connection(streaming: tuple[Streaming, KubeCluster]) -> None:
    """Nobody listens to what nobody wants to know."""
    server, cluster = streaming
    server.tells("MODIFIED", secret("6"))

    async with aclosing(cluster.watch(ONE, "5")) as watch:  # type: ignore[type-var] # it is a generator, which the port does not say
        assert await anext(watch) == News(secret("6"))
        assert server.watchers == 1

    await eventually(lambda: server.watchers == 0, what="the connection is closed")
