"""The admin port: who may ask, and what a gateway says about itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partialmethod
from typing import TYPE_CHECKING

import aiohttp
import pytest
from structlog.testing import capture_logs

from smtp_gateway import __version__
from smtp_gateway.config.model import HopTls, Route, Smarthost
from smtp_gateway.config.rendered import config_hash
from smtp_gateway.config.report import RouteReport
from smtp_gateway.tls import Certificate, CertificateError, mutual_context
from tests.support.admin import POD, Authority, ask, report, reported, write
from tests.support.conversation import Conversation
from tests.support.gateway import config, running, trusting, write_pair
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from smtp_gateway.app import Gateway
    from smtp_gateway.config.model import Config
    from tests.support.sink import Sink


@pytest.fixture
def own() -> Authority:
    """The gateway's own authority."""
    return Authority()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at certificates often, so that nobody has to wait for two seconds."""
    monkeypatch.setattr(Certificate, "follow", partialmethod(Certificate.follow, 0.02))


@contextlib.asynccontextmanager
async def administered(folder: Path, own: Authority, configuration: Config | None = None) -> AsyncIterator[tuple[Gateway, ssl.SSLContext]]:
    """Run a gateway with an admin port, and give the context of the operator."""
    admin = await asyncio.to_thread(own.mount, folder / "admin")
    operator = await asyncio.to_thread(own.context, folder / "operator", own.client())
    async with running(folder, configuration or config(), admin_tls=admin, admin_port=0, pod=POD) as gateway:
        yield gateway, operator


async def test_the_operator_is_told_how_a_pod_is(tmp_path: Path, own: Authority, sink: Sink) -> None:
    """Who it is, what is in force, that it accepts; the queue, the routes, the upstreams and the certificate."""
    before = time.time()
    sink.answer("body", "451 4.3.0 Not now")
    async with (
        administered(tmp_path, own, config(sink.port)) as (gateway, operator),
        Conversation.with_server(gateway.ports["submission"]) as client,
    ):
        await client.authenticated(trusting())
        await client.send(b"x\r\n.\r\n")
        said = await reported(gateway.admin_port, operator, lambda said: said.routes[0].attempted and said.upstreams[0].reachable)

    assert (said.pod, said.version, said.config_hash) == (POD, __version__, config_hash(config(sink.port)))
    assert (said.accepting, said.draining, said.config_problem, said.spool_problem) == (True, False, "", "")
    assert (said.queue.messages, said.queue.held, said.queue.lateness) == (1, 0, 0.0)
    assert said.queue.oldest is not None
    assert before <= said.queue.oldest <= time.time()
    assert said.routes == (RouteReport(name="default", attempted=1, deferred=1),)
    (upstream,) = said.upstreams
    assert (upstream.route, upstream.host, upstream.port) == ("default", "127.0.0.1", sink.port)
    assert (upstream.reachable, upstream.cause, upstream.reply) == (True, "", "250 2.0.0 Ok")
    assert upstream.checked_at is not None
    assert before <= upstream.checked_at <= time.time()
    assert said.certificate.not_after is not None
    assert said.certificate.not_after > time.time()
    assert not sink.taken


async def test_an_upstream_that_is_away_is_said_with_its_cause(tmp_path: Path, own: Authority, sink: Sink) -> None:
    """Within the report; mail for it waits and is deferred, and a change to one that is there is known at once."""
    async with (
        administered(tmp_path, own, config(9)) as (gateway, operator),
        Conversation.with_server(gateway.ports["submission"]) as client,
    ):
        await client.authenticated(trusting())
        await client.send(b"x\r\n.\r\n")
        said = await reported(gateway.admin_port, operator, lambda said: said.routes[0].deferred and said.upstreams[0].cause)
        assert (said.upstreams[0].reachable, said.upstreams[0].cause) == (False, "Refused")
        assert "refused" in said.upstreams[0].reply
        assert (said.queue.messages, said.queue.lateness) == (1, 0.0)
        assert said.accepting

        gateway.reconfigure(config(sink.port))
        said = await reported(gateway.admin_port, operator, lambda said: said.upstreams[0].reachable)
        assert said.config_hash == config_hash(config(sink.port))


async def nobody(folder: Path, own: Authority) -> ssl.SSLContext:
    """Return a client without a certificate."""
    return await asyncio.to_thread(own.context, folder, None)


async def a_server(folder: Path, own: Authority) -> ssl.SSLContext:
    """Return a client with the pair of a listener, signed by the very authority."""
    return await asyncio.to_thread(own.context, folder, own.server("mail.example.com"))


async def another_gateways(folder: Path, own: Authority) -> ssl.SSLContext:
    """Return a client of another authority that has the same name."""
    return await asyncio.to_thread(own.context, folder, Authority().client())


@pytest.mark.parametrize("client", [nobody, a_server, another_gateways])
async def test_whoever_is_not_the_operator_gets_no_answer(tmp_path: Path, own: Authority, client: object) -> None:
    """The handshake fails; nothing of it is logged, or counted as anything of mail."""
    assert callable(client)
    async with administered(tmp_path, own) as (gateway, operator):
        await eventually(lambda: gateway.not_ready() is None)
        context = await client(tmp_path / "client", own)
        with capture_logs() as logs, pytest.raises(aiohttp.ClientError):
            await ask(gateway.admin_port, context)
        assert [line for line in logs if not line["event"].startswith("upstream")] == []
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{gateway.http_port}/metrics") as answer:
            page = await answer.text()
        counted = [line for line in page.splitlines() if line.startswith(("smtp_gateway_sessions_total", "smtp_gateway_refusals_total"))]
        assert [line for line in counted if not line.endswith(" 0.0")] == []
        assert (await ask(gateway.admin_port, operator))[0] == 200


async def test_there_is_nothing_but_the_report(tmp_path: Path, own: Authority) -> None:
    """And nothing can be changed."""
    async with administered(tmp_path, own) as (gateway, operator):
        assert (await ask(gateway.admin_port, operator, "/metrics"))[0] == 404
        assert (await ask(gateway.admin_port, operator, "/"))[0] == 404
        with pytest.raises(aiohttp.ClientError):
            await ask(gateway.http_port, operator)


async def test_the_client_need_not_believe_who_it_talks_to(tmp_path: Path, own: Authority) -> None:
    """The port shows a certificate of the gateway's authority for the pod's name."""
    async with administered(tmp_path, own) as (gateway, _):
        other = Authority()
        operator = await asyncio.to_thread(other.context, tmp_path / "other", own.client())
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(gateway.admin_port, operator)


async def test_a_new_authority_is_followed(tmp_path: Path, own: Authority) -> None:
    """Who was signed by the old one gets no answer any more, resumed sessions included; the port stays open throughout."""
    async with administered(tmp_path, own) as (gateway, operator):
        assert (await ask(gateway.admin_port, operator))[0] == 200
        renewed = Authority()
        with capture_logs() as logs:
            await asyncio.to_thread(renewed.mount, tmp_path / "admin")
            await eventually(lambda: any(line["event"] == "certificate loaded" for line in logs), 10.0)
        with pytest.raises(aiohttp.ClientError):
            await ask(gateway.admin_port, operator)
        again = await asyncio.to_thread(renewed.context, tmp_path / "operator", renewed.client())
        assert (await ask(gateway.admin_port, again))[0] == 200


async def test_a_certificate_that_cannot_be_used_is_reported(tmp_path: Path, own: Authority) -> None:
    """The listeners' one, with the sentence, until a good one comes; the one before stays in force and is the one that expires."""
    async with administered(tmp_path, own) as (gateway, operator):
        before = (await report(gateway.admin_port, operator)).certificate
        await asyncio.to_thread((tmp_path / "tls" / "tls.crt").write_bytes, b"nothing")
        said = (await reported(gateway.admin_port, operator, lambda said: said.certificate.problem)).certificate
        assert "no usable certificate and key" in said.problem
        assert said.not_after == before.not_after
        await asyncio.to_thread(write_pair, tmp_path / "tls")
        await reported(gateway.admin_port, operator, lambda said: not said.certificate.problem)


async def test_routes_and_upstreams_are_those_of_the_configuration(tmp_path: Path, own: Authority) -> None:
    """Routes without smarthosts have no upstreams; what is gone is not reported."""
    hop = Smarthost(host="127.0.0.1", port=9, tls=HopTls.NONE)
    routes = (Route(name="internal", recipient_domains=("corp.example",), smarthosts=(hop,)), Route(name="default"))
    async with administered(tmp_path, own, config().model_copy(update={"routes": routes})) as (gateway, operator):
        said = await report(gateway.admin_port, operator)
        assert [route.name for route in said.routes] == ["internal", "default"]
        assert [upstream.route for upstream in said.upstreams] == ["internal"]
        gateway.reconfigure(config().model_copy(update={"routes": routes[1:]}))
        said = await report(gateway.admin_port, operator)
        assert ([route.name for route in said.routes], said.upstreams) == (["default"], ())


def test_what_is_wrong_with_the_folder_is_one_sentence(tmp_path: Path, own: Authority) -> None:
    """Without an authority there is no admin port."""
    write(tmp_path, own.server("localhost"))
    with pytest.raises(CertificateError, match=r"ca\.crt in .* cannot be read: No such file"):
        mutual_context(tmp_path)
    (tmp_path / "ca.crt").write_text("nothing")
    with pytest.raises(CertificateError, match=r"ca\.crt in .* holds no certificate"):
        mutual_context(tmp_path)
