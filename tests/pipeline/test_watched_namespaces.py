"""Which namespaces kopf watches, when it runs with our handlers and settings against an API server that notes what it is asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import kopf
from aiohttp import web

from smtp_gateway_operator.cluster.api import GATEWAY, WATCHED_KINDS, Kind
from smtp_gateway_operator.handlers import registry_of
from smtp_gateway_operator.names import OPERATOR
from smtp_gateway_operator.startup.settings import kopf_settings
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import pytest

    from smtp_gateway_operator.cluster.api import News
    from smtp_gateway_operator.names import Key

KINDS = (GATEWAY, *WATCHED_KINDS)


class ApiServer:
    """As much of an API server as kopf needs to begin its watches, of which none tells anything."""

    def __init__(self) -> None:
        """Begin unasked."""
        self.watched: set[str] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer what kopf asks."""
        root, *rest = request.path.strip("/").split("/")
        if "namespaces" in rest:
            return await self._list_or_watch(request)
        if root == "api":
            return web.json_response(resources("v1") if rest else {"versions": ["v1"]})
        return web.json_response(resources("/".join(rest)) if rest else groups())

    async def _list_or_watch(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") != "true":
            return web.json_response({"items": [], "metadata": {"resourceVersion": "1"}})
        self.watched.add(request.path)
        stream = web.StreamResponse()
        await stream.prepare(request)
        await asyncio.sleep(60)
        return stream


def groups() -> dict[str, Any]:
    """Return the groups that the API server has."""
    names = {kind.group: kind for kind in KINDS if kind.group}
    return {
        "groups": [
            {"name": group, "versions": [version], "preferredVersion": version}
            for group, kind in names.items()
            for version in [{"version": kind.version, "groupVersion": kind.api_version}]
        ]
    }


def resources(api_version: str) -> dict[str, Any]:
    """Return what it has in one version of a group."""
    verbs = ["list", "watch", "patch"]
    found = [resource(kind, verbs) for kind in KINDS if kind.api_version == api_version]
    namespaces = resource(Kind("v1", "Namespace", "namespaces"), verbs) | {"namespaced": False}
    return {"resources": [*found, *([namespaces] if api_version == "v1" else [])]}


def resource(kind: Kind, verbs: list[str]) -> dict[str, Any]:
    """Return how it describes *kind*."""
    return {"name": kind.plural, "singularName": "", "namespaced": True, "kind": kind.name, "verbs": verbs}


class Leaving:
    """An operator that leaves out a namespace while it starts."""

    def __init__(self, server: str) -> None:
        """Log in at *server*."""
        self.served = ["apps", "gone", "other"]
        self._server = server

    async def start(self) -> None:
        """Leave one out, after a while."""
        await asyncio.sleep(0.1)
        self.served.remove("gone")

    async def stop(self) -> None:
        """End."""

    async def login(self, _: kopf.OperatorSettings) -> kopf.AiohttpSession | None:
        """Log in."""
        return kopf.AiohttpSession(aiohttp_session=aiohttp.ClientSession(), server=self._server)

    def heard(self, kind: Kind, key: Key, news: News) -> None:
        """Nothing is told."""
        raise AssertionError(kind, key, news)


async def test_what_is_left_out_at_the_start_is_not_watched(caplog: pytest.LogCaptureFixture) -> None:
    """The list that kopf was given is looked at once the start is done: a watch of what is gone would end the process."""
    caplog.set_level("ERROR")
    server, application = ApiServer(), web.Application()
    application.router.add_get("/{path:.*}", server.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    operator, stop = Leaving(f"http://127.0.0.1:{runner.addresses[0][1]}"), asyncio.Event()
    running = asyncio.create_task(
        kopf.operator(
            registry=registry_of(operator),
            settings=kopf_settings(),
            identity=OPERATOR,  # type: ignore[arg-type] # as in the program
            standalone=True,
            namespaces=operator.served,
            stop_flag=stop,
        )
    )
    await eventually(lambda: len(server.watched) >= 2 * len(KINDS), 20.0, "every kind is watched in two namespaces")
    stop.set()
    await asyncio.wait_for(running, 30)
    await runner.cleanup()

    assert {path.split("/namespaces/")[1].split("/")[0] for path in server.watched} == {"apps", "other"}
    assert [record.message for record in caplog.records] == []
