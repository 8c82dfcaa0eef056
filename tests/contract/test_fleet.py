"""The fleet's contract, in memory and over TLS; and what only the real one can get wrong."""

from __future__ import annotations

import asyncio
import os
import ssl
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from smtp_gateway.config.certificate import Pair, issue, issue_client, new_authority
from smtp_gateway_operator.fleet import tls
from smtp_gateway_operator.fleet.memory import MemoryFleet
from smtp_gateway_operator.fleet.tls import TlsFleet
from smtp_gateway_operator.names import OPERATOR, pod_address
from tests.contract.fleet_contract import OWNER, FleetContract, Pods, pod
from tests.unit.operator.setting import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from smtp_gateway_operator.spec import PodReport

    Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

EVERY_POD = pod_address(OWNER, "*")
"""What admin certificates are issued for."""


class MemoryPods(Pods):
    """Pods in memory."""

    def __init__(self) -> None:
        """Start without any."""
        self.fleet: MemoryFleet = MemoryFleet()
        self.authority = Pair(b"certificate", b"key")

    async def runs(self, name: str, report: PodReport) -> dict[str, Any]:
        """See `Pods`."""
        self.fleet.says[name] = report
        return pod(name)

    async def hides(self, name: str) -> dict[str, Any]:
        """See `Pods`."""
        self.fleet.says[name] = "connection refused"
        return pod(name)


class TlsPods(Pods):
    """Pods that are servers on loopback: one address each, as in a cluster, and the same port."""

    def __init__(self, port: int) -> None:
        """Start without any."""
        self.authority = new_authority("mail.apps SMTP gateway", datetime.now(UTC))
        self.port = port
        self.seen: list[dict[str, Any]] = []
        """The client certificate of each request."""
        self.handshakes: set[int] = set()
        """The client's port of each connection."""
        self.runners: list[web.AppRunner] = []
        self._numbers = count(2)

    async def runs(self, name: str, report: PodReport) -> dict[str, Any]:
        """See `Pods`."""
        return await self.serves(name, answering(web.json_response(text=report.model_dump_json(by_alias=True))))

    async def hides(self, name: str) -> dict[str, Any]:
        """See `Pods`."""
        return pod(name, f"127.0.0.{next(self._numbers)}")

    async def serves(self, name: str, answer: Answer, certificate: Pair | None = None) -> dict[str, Any]:
        """Let a pod run that gives *answer* and shows *certificate*; return it."""

        async def noted(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            self.seen.append(request.transport.get_extra_info("peercert"))
            self.handshakes.add(request.transport.get_extra_info("peername")[1])
            return await answer(request)

        application = web.Application()
        application.router.add_get("/report", noted)
        runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await runner.setup()
        self.runners.append(runner)
        address = f"127.0.0.{next(self._numbers)}"
        shown = certificate or issue(self.authority, [EVERY_POD], datetime.now(UTC))
        await web.TCPSite(runner, address, self.port, ssl_context=self._context(shown)).start()
        return pod(name, address)

    def _context(self, shown: Pair) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.authority.certificate.decode())
        with os.fdopen(os.memfd_create("pod"), "wb") as file:
            file.write(shown.certificate + shown.key)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        return context


def answering(response: web.Response) -> Answer:
    """Return what answers with *response*'s status and text each time."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=response.status, text=response.text, headers={"Location": "https://elsewhere.example/"})

    return answer


@pytest.fixture
async def tls_pods(unused_tcp_port: int) -> AsyncIterator[TlsPods]:
    """Pods on loopback, and the real fleet."""
    pods = TlsPods(unused_tcp_port)
    async with TlsFleet(unused_tcp_port) as fleet:
        pods.fleet = fleet
        yield pods
    for runner in pods.runners:
        await runner.cleanup()


class TestMemoryFleet(FleetContract):
    """The twin."""

    @pytest.fixture
    def pods(self) -> Pods:
        """Pods in memory."""
        return MemoryPods()


class TestTlsFleet(FleetContract):
    """The real thing."""

    @pytest.fixture
    def pods(self, tls_pods: TlsPods) -> Pods:
        """Pods on loopback."""
        return tls_pods


async def asked(pods: TlsPods, *running: dict[str, Any], authority: Pair | None = None) -> dict[str, Any]:
    """Return the answers of pods."""
    return dict(await pods.fleet.reports(OWNER, running, authority or pods.authority))


async def test_the_operator_shows_who_it_is(tls_pods: TlsPods) -> None:
    """Its certificate names it, is the same over many looks, and so is the connection."""
    running = await tls_pods.runs("mail-0", report("mail-0"))

    for _ in range(3):
        assert await asked(tls_pods, running) == {"mail-0": report("mail-0")}

    assert [one["subject"] for one in tls_pods.seen] == [((("commonName", OPERATOR),),)] * 3
    assert len(tls_pods.handshakes) == 1


async def test_another_pods_certificate_is_refused(tls_pods: TlsPods) -> None:
    """An address may belong to a pod of another gateway by now, even one of the same authority's."""
    other = issue(tls_pods.authority, ["mail-0.other-pods.apps.svc"], datetime.now(UTC))
    running = await tls_pods.serves("mail-0", answering(web.json_response(text=report("mail-0").model_dump_json())), other)

    (said,) = (await asked(tls_pods, running)).values()

    assert "Hostname mismatch" in said
    assert tls_pods.seen == []


async def test_a_pod_of_another_authority_is_refused(tls_pods: TlsPods) -> None:
    """Whoever answers without a certificate of the gateway's own authority is not believed."""
    stranger = issue(new_authority("stranger", datetime.now(UTC)), [EVERY_POD], datetime.now(UTC))
    running = await tls_pods.serves("mail-0", answering(web.json_response(text="{}")), stranger)

    (said,) = (await asked(tls_pods, running)).values()

    assert "certificate" in said
    assert tls_pods.seen == []


async def test_a_clients_certificate_is_no_servers(tls_pods: TlsPods) -> None:
    """Certificates have one purpose each: what the operator shows cannot pass for a pod."""
    client = issue_client(tls_pods.authority, OPERATOR, datetime.now(UTC))
    running = await tls_pods.serves("mail-0", answering(web.json_response(text="{}")), client)

    assert isinstance((await asked(tls_pods, running))["mail-0"], str)
    assert tls_pods.seen == []


async def test_a_changed_authority_is_followed(tls_pods: TlsPods) -> None:
    """After the authority's renewal the operator shows and trusts the new one, and the old one no more."""
    old = await tls_pods.runs("mail-0", report("mail-0"))
    assert await asked(tls_pods, old) == {"mail-0": report("mail-0")}
    tls_pods.authority = new_authority("successor", datetime.now(UTC))
    new = await tls_pods.runs("mail-1", report("mail-1"))

    assert await asked(tls_pods, new) == {"mail-1": report("mail-1")}


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (web.Response(status=503, text="draining"), "its admin port answered with HTTP 503"),
        (web.Response(status=302, text=""), "its admin port answered with HTTP 302"),
        (web.Response(text="not JSON"), "its report is not understood"),
        (web.Response(text="{}"), "its report is not understood: pod: Field required"),
        (web.Response(text=" " * (tls.LARGEST + 1)), "its report is longer than 1048576 octets"),
    ],
    ids=["refusal", "redirection", "no JSON", "no report", "too long"],
)
async def test_what_is_no_report_is_told(tls_pods: TlsPods, response: web.Response, sentence: str) -> None:
    """One sentence, whatever the other side does; nobody follows it elsewhere."""
    running = await tls_pods.serves("mail-0", answering(response))

    (said,) = (await asked(tls_pods, running)).values()

    assert said.startswith(sentence)


async def test_a_pod_that_hangs_is_given_its_time_and_no_more(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hanging pod is told as such, and the others' answers are there."""
    monkeypatch.setattr(tls, "PATIENCE", 0.3)
    pods, released = TlsPods(unused_tcp_port), asyncio.Event()

    async def hangs(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    async with TlsFleet(unused_tcp_port) as fleet:
        pods.fleet = fleet
        running = [await pods.serves("mail-0", hangs), await pods.runs("mail-1", report("mail-1"))]
        assert await asked(pods, *running) == {"mail-0": "no answer within 0.3 s", "mail-1": report("mail-1")}
    released.set()
    for runner in pods.runners:
        await runner.cleanup()


@pytest.mark.parametrize("authority", [Pair(b"", b""), Pair(b"nonsense", b"nonsense"), Pair(b"\xff", b"\xff")])
async def test_a_damaged_authority_is_told(tls_pods: TlsPods, authority: Pair) -> None:
    """Nothing is asked, and nothing raised."""
    running = await tls_pods.runs("mail-0", report("mail-0"))

    assert await asked(tls_pods, running, authority=authority) == {"mail-0": "the gateway's certificate authority is damaged"}
