from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import aiohttp
import pytest
from structlog.testing import capture_logs

from smtp_gateway.app import Gateway, Settings
from smtp_gateway.config.model import Listener, ListenerTls
from smtp_gateway.config.pace import Retry
from smtp_gateway.dispatch import Dispatch
from smtp_gateway.lifecycle import Phase
from smtp_gateway.listener.server import BindError
from smtp_gateway.spool.api import SpoolUnavailableError
from smtp_gateway.telemetry.table import METRICS
from smtp_gateway.tls import CertificateError
from tests.support.conversation import Conversation
from tests.support.gateway import PATIENCE, config, running, trusting, write_pair
from tests.support.promtool import complaints
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sink import Sink

TLS = trusting()


async def page(gateway: Gateway, path: str) -> tuple[int, str]:
    """Ask the HTTP port of *gateway*."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{gateway.http_port}{path}") as answer:
        return answer.status, await answer.text()


async def measured(gateway: Gateway, line: str) -> None:
    """Wait until the metrics of *gateway* have a *line*."""
    async with asyncio.timeout(PATIENCE):
        said = ""
        while not re.search(line, said, re.MULTILINE):
            _, said = await page(gateway, "/metrics")


EXCEPTIONAL = {"smtp_gateway_upstream_failure", "smtp_gateway_pace_messages_per_second"}
"""What is absent while nothing is wrong, or nothing paced."""


def labels(text: str) -> dict[str, set[tuple[str, ...]]]:
    """Return which labels the series of a page have, by the names of their metrics, in the order of the table."""
    order = {metric.name: metric.labels for metric in METRICS}
    found: dict[str, set[tuple[str, ...]]] = {name: set() for name in order}
    for name, said in re.findall(r"^(\w+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        found[name].add(tuple(sorted(set(re.findall(r'(\w+)="', said)) - {"le"}, key=order[name].index)))
    return found


@pytest.mark.parametrize(
    "body",
    [
        b".\r\n",
        b"\r\n.\r\n",
        b"Subject: x\r\n\r\nhello\r\n.\r\n",
        b"Subject: dots\r\n\r\n..\r\n..a\r\n...\r\n.\r\n",
        b"Subject: 8-bit\r\n\r\n\xff\xe4\x80\x00\r\n.\r\n",
        b"Subject: long\r\n\r\n" + b"x" * 100_000 + b"\r\n.\r\n",
        b"Subject: large\r\n\r\n" + b"..y\r\n" * 200_000 + b".\r\n",
    ],
    ids=["nothing", "empty", "plain", "dots", "8-bit", "long line", "1 MB"],
)
async def test_mail_arrives_octet_for_octet(tmp_path: Path, sink: Sink, body: bytes) -> None:
    """From the client through the disk to the next hop nothing changes but for the trace header and the fields that are missing."""
    async with running(tmp_path, config(sink.port)) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
        await client.authenticated(TLS)
        await client.send(body)
        await eventually(lambda: sink.taken)

    (taken,) = sink.taken
    added, kept = taken.body[: -len(body)], taken.body[-len(body) :]
    assert kept == body
    trace = rb"Received: from client\.example \(\[127\.0\.0\.1\]\)\r\n\tby .* id (.*);\r\n\t(.*)\r\n"
    assert re.fullmatch(trace + rb"Date: \2\r\nMessage-ID: <\1@mail\.example\.com>\r\n", added)
    assert (taken.sender, taken.recipients) == ("a@example.com", ("b@example.net",))


async def test_one_mail_can_be_followed_by_its_id(tmp_path: Path, sink: Sink) -> None:
    """The reply, the trace header and the log from acceptance to delivery say the same name."""
    with capture_logs() as logs:
        async with running(tmp_path, config(sink.port)) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
            await client.authenticated(TLS)
            reply = await client.send(b"x\r\n.\r\n")
            await eventually(lambda: any(line["event"] == "delivered" for line in logs))

    name = reply.rsplit(maxsplit=1)[-1]
    assert [line["event"] for line in logs if line.get("message_id") == name] == ["accepted", "delivered"]
    assert f" id {name};".encode() in sink.taken[0].body


async def test_every_documented_metric_is_scraped_after_real_mail(tmp_path: Path, sink: Sink) -> None:
    """The page and the table have the same names, types and labels, both ways; Prometheus' tool likes it; and nobody's address is on it."""
    async with running(tmp_path, config(sink.port)) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
        await client.authenticated(TLS)
        await client.ask("FLY", "500 *")
        await client.send(b"x\r\n.\r\n")
        delivered = r'^smtp_gateway_delivered_recipients_total\{identity="app-logins",route="default"\} 1\.0$'
        await measured(gateway, delivered)
        await measured(gateway, r"^smtp_gateway_upstream_up\{")
        await measured(gateway, r"^smtp_gateway_route_queue_messages\{")
        status, text = await page(gateway, "/metrics")

    assert status == 200
    assert sorted(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)) == sorted((metric.name, metric.kind) for metric in METRICS)
    found = labels(text)
    assert {metric.name: found[metric.name] for metric in METRICS if metric.name not in EXCEPTIONAL} == {
        metric.name: {metric.labels} for metric in METRICS if metric.name not in EXCEPTIONAL
    }
    assert await asyncio.to_thread(complaints, text.encode()) == ""
    for line in (
        'smtp_gateway_accepted_messages_total{identity="app-logins",listener="submission"} 1.0',
        'smtp_gateway_accept_seconds_count{listener="submission"} 1.0',
        'smtp_gateway_attempt_seconds_count{route="default"} 1.0',
        'smtp_gateway_bounced_recipients_total{identity="app-logins",route="default"} 0.0',
        'smtp_gateway_retries_total{route="default"} 0.0',
        'smtp_gateway_tls_sessions_total{listener="submission",version="TLSv1.3"} 1.0',
        'smtp_gateway_tls_sessions_total{listener="submission",version="TLSv1.2"} 0.0',
    ):
        assert line in text.splitlines()
    assert "example" not in text
    assert "127.0.0.1" not in re.sub(r"^smtp_gateway_upstream_.*", "", text, flags=re.MULTILINE)


async def test_trap_09_a_probe_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap 9: live while it runs; ready while mail can be taken, and otherwise the reason is in the body."""
    async with running(tmp_path, config()) as gateway:
        assert await page(gateway, "/livez") == (200, "ok\n")
        assert await page(gateway, "/readyz") == (200, "ok\n")
        assert (await page(gateway, "/debug"))[0] == 404

        monkeypatch.setattr("smtp_gateway.spool.disk.DiskSpool.healthy", lambda _spool: "the volume is full")
        assert await page(gateway, "/readyz") == (503, "the volume is full\n")
        assert await page(gateway, "/livez") == (200, "ok\n")


async def test_a_drain_is_seen_by_the_probe_and_lets_a_transaction_end(tmp_path: Path, sink: Sink) -> None:
    """Not ready, no new connections, the open transaction is taken, delivered, and the life ends."""
    async with running(tmp_path, config(sink.port)) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
        await client.authenticated(TLS)
        await client.ask("MAIL FROM:<a@example.com>")
        gateway.life.stop()
        await eventually(lambda: gateway.life.phase is Phase.DRAINING)
        assert await page(gateway, "/readyz") == (503, "draining\n")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", gateway.ports["submission"])
        await client.ask("RCPT TO:<b@example.net>")
        await client.ask("DATA", "354 *")
        await client.write(b"last\r\n.\r\n")
        await client.expect("250 2.0.0 *")
        await client.expect("421 4.3.2 *")

    assert gateway.life.phase is Phase.STOPPED
    assert sink.taken[0].content.endswith(b"last\r\n")


async def test_what_a_stopped_gateway_kept_is_delivered_by_the_next(tmp_path: Path, sink: Sink) -> None:
    """A next hop that is away costs no mail across a restart."""
    await sink.stop()
    async with running(tmp_path, config(sink.port)) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
        await client.authenticated(TLS)
        await client.send(b"kept\r\n.\r\n")
    assert not sink.taken

    await sink.start()
    later = config(sink.port)
    async with running(tmp_path, later) as gateway:
        _, text = await page(gateway, "/metrics")
        assert re.search(r"^smtp_gateway_queue_messages [01]\.0$", text, re.MULTILINE)


async def test_a_new_configuration_is_followed_without_dropping_a_session(tmp_path: Path, sink: Sink) -> None:
    """Routes count for the next attempt, the host name for the next session; who is connected stays."""
    async with running(tmp_path, config(9)) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
        await client.authenticated(TLS)
        gateway.reconfigure(config(sink.port).model_copy(update={"hostname": "new.example.com"}))
        await client.send(b"x\r\n.\r\n")
        await eventually(lambda: sink.taken)
        async with Conversation.with_server(gateway.ports["submission"]) as other:
            await other.expect("220 new.example.com ESMTP")

    assert b"by new.example.com with" in sink.taken[0].body


async def test_mail_does_not_wait_longer_than_its_next_hop_is_away(tmp_path: Path, sink: Sink) -> None:
    """What waits for hours goes as soon as a probe finds the route's next hop, here because its port was corrected."""
    patient = {"retry": Retry(initial=7200.0, maximum=7200.0)}
    wrong, right = (
        one.model_copy(update={"routes": tuple(route.model_copy(update=patient) for route in one.routes)})
        for one in (config(9), config(sink.port))
    )
    async with running(tmp_path, wrong) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
        await client.authenticated(TLS)
        await client.send(b"x\r\n.\r\n")
        await measured(gateway, r"^smtp_gateway_deferred_recipients_total\{.*\} 1\.0$")
        await measured(gateway, r"^smtp_gateway_upstream_up\{.*\} 0\.0$")
        gateway.reconfigure(right)
        await eventually(lambda: sink.taken)


async def test_a_part_that_fails_ends_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway whose dispatch is gone does not go on accepting: the process ends and is started again."""

    async def broken(_dispatch: Dispatch) -> None:
        message = "a mistake of ours"
        raise RuntimeError(message)

    monkeypatch.setattr(Dispatch, "run", broken)
    await asyncio.to_thread(write_pair, tmp_path / "tls")
    ports = {"submission": 0, "submissions": 0}
    settings = Settings(tmp_path / "tls", tmp_path / "spool", host="127.0.0.1", ports=ports, http_host="127.0.0.1", http_port=0)
    with pytest.raises(ExceptionGroup) as ended:
        await asyncio.wait_for(Gateway(config(), settings).run(), 20.0)

    assert ended.group_contains(RuntimeError, match="a mistake of ours")


@pytest.mark.parametrize("missing", ["tls", "port", "spool"])
async def test_what_prevents_a_start_is_one_named_error(tmp_path: Path, missing: str) -> None:
    """The certificate, a port in use, a spool in use: nothing is half open afterwards."""
    async with running(tmp_path / "first", config()) as first:
        tls = tmp_path / "tls"
        if missing != "tls":
            await asyncio.to_thread(write_pair, tls)
        ports = {"submission": first.ports["submission"] if missing == "port" else 0, "submissions": 0}
        spool = tmp_path / ("first" if missing == "spool" else "second") / "spool"
        settings = Settings(tls, spool, host="127.0.0.1", ports=ports, http_host="127.0.0.1", http_port=0)
        errors: dict[str, type[Exception]] = {"tls": CertificateError, "port": BindError, "spool": SpoolUnavailableError}
        with pytest.raises(errors[missing]):
            await Gateway(config(), settings).run()
        assert await page(first, "/readyz") == (200, "ok\n")


async def test_how_a_listener_encrypts_is_followed_without_a_restart(tmp_path: Path) -> None:
    """A port that was in the clear at first is under TLS from the next connection on, and back; who is connected stays."""
    clear, encrypted = (
        config().model_copy(update={"listeners": (Listener(name="submission", port=587, tls=tls),)})
        for tls in (ListenerTls.START_TLS, ListenerTls.IMPLICIT)
    )
    async with running(tmp_path, clear) as gateway, Conversation.with_server(gateway.ports["submission"]) as before:
        await before.expect("220 *")
        gateway.reconfigure(encrypted)
        port = gateway.ports["submission"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=TLS, server_hostname="localhost")
        assert (await reader.readline()).startswith(b"220 ")
        writer.transport.abort()
        gateway.reconfigure(clear)
        async with Conversation.with_server(port) as after:
            await after.expect("220 *")
        await before.ask("NOOP", "250 *")
