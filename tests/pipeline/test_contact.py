"""kopf's session: how it logs in, and how a dead watch is noticed."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import kopf
import pytest
from aiohttp import web

from smtp_gateway_operator.startup import contact as module
from smtp_gateway_operator.startup.contact import PATIENCE, Contact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PODS = "/api/v1/namespaces/apps/pods"


class Watched:
    """A contact, its clock, and a server."""

    def __init__(self) -> None:
        """Start with nothing asked."""
        self.time = 0.0
        self.status = 200
        self.answered: list[str] = []
        self.tokens: list[str | None] = []
        self.contact = Contact(lambda: self.time, self.answered.append)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.tokens.append(request.headers.get("Authorization"))
        return web.json_response({}, status=self.status)


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    """A contact with a server that has been logged in to."""
    watched, application = Watched(), web.Application()
    application.router.add_get(PODS, watched.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setattr(module, "_credentials", lambda _: kopf.ConnectionInfo(server=server, token="one", default_namespace="apps"))
    monkeypatch.setattr(kopf.ConnectionInfo, "as_ssl_context", lambda _: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    yield watched
    await runner.cleanup()


async def ask(watched: Watched, **query: str) -> None:
    """Ask once in kopf's session, as kopf does."""
    session = await watched.contact.login(kopf.OperatorSettings())
    assert session is not None
    async with session.aiohttp_session as client, client.get(f"{session.server}{PODS}", params=query) as answer:
        await answer.read()


async def test_a_watch_that_asks_no_more_is_dead(watched: Watched) -> None:
    """As long as it comes back in time nothing is wrong, however little it has to tell."""
    await ask(watched, watch="true")
    watched.time += PATIENCE - 1
    assert watched.contact.silent() is None
    await ask(watched, watch="true")
    watched.time += PATIENCE - 1
    assert watched.contact.silent() is None

    watched.time += 2

    assert watched.contact.silent() == PODS
    assert watched.answered == ["pods", "pods"]


async def test_an_api_server_that_is_away_is_not_the_watchs_fault(watched: Watched) -> None:
    """A watch that asks and is refused lives; the metric tells that nothing was answered."""
    watched.status = 503

    await ask(watched, watch="true")

    watched.time += PATIENCE - 1
    assert (watched.contact.silent(), watched.answered) == (None, [])


async def test_only_watches_count(watched: Watched) -> None:
    """A list is no watch, and one that was made once is not missed."""
    await ask(watched)

    watched.time += PATIENCE + 1

    assert (watched.contact.silent(), watched.answered) == (None, [])


async def test_each_login_reads_the_credentials_anew(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kopf logs in again when a token is refused, and by then the kubelet has written another one."""
    await ask(watched)
    server = "http://127.0.0.1"
    monkeypatch.setattr(module, "_credentials", lambda _: kopf.ConnectionInfo(server=server, token="two"))
    session = await watched.contact.login(kopf.OperatorSettings())
    assert session is not None

    assert watched.tokens == ["Bearer one"]
    assert session.aiohttp_session.headers["Authorization"] == "Bearer two"
    await session.aiohttp_session.close()


async def test_without_credentials_there_is_no_session(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kopf says then that there are none."""
    monkeypatch.setattr(module, "_credentials", lambda _: None)

    assert await watched.contact.login(kopf.OperatorSettings()) is None
