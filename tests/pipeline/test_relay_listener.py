"""Listeners without a login: who gets mail through them and in which words others are refused, the same by both ways of answering."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway.config.model import Config, Listener, ListenerAuth, ListenerTls, Route
from smtp_gateway.config.pace import Retry
from smtp_gateway.listener import usual
from smtp_gateway.policy.relaying import Opening
from tests.support.conversation import Conversation, plain
from tests.support.gateway import config, reception, running, trusting
from tests.support.waiting import eventually
from tests.support.wire import Caller, Counter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.sink import Sink

TLS = trusting()
INSIDE, OUTSIDE = (ip_network("192.0.2.0/24"),), (ip_network("198.51.100.0/24"),)
"""The client of a `Wire` is 192.0.2.1."""
LOOPBACK = (ip_network("127.0.0.0/8"),)
EHLO, MAIL, DATA = b"EHLO client.example\r\n", b"MAIL FROM:<a@example.com>\r\n", b"DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n"
THEIRS, OURS = b"RCPT TO:<b@example.net>\r\n", b"RCPT TO:<b@corp.example>\r\n"
LOGIN = f"AUTH PLAIN {plain('app', 'secret')}\r\n".encode()
NO_CLIENT = b"550 5.7.1 Relaying denied: this network sends only with a login\r\n"
NO_RECIPIENT = b"550 5.7.1 Relaying denied: this network sends only to some domains without a login\r\n"
TLS_FIRST = b"530 5.7.0 Must issue a STARTTLS command first\r\n"


def relay(tls: ListenerTls = ListenerTls.OPPORTUNISTIC, networks: tuple[Any, ...] = (), domains: tuple[str, ...] = ()) -> Listener:
    """Return a listener without a login."""
    return Listener(name="relay", port=25, tls=tls, auth=ListenerAuth.NONE, allowed_networks=networks, allowed_recipient_domains=domains)


def serving(listener: Listener) -> Config:
    """Return a configuration with that listener alone."""
    return config().model_copy(update={"listeners": (listener,)})


async def outcome(listener: Listener, octets: bytes, *, encrypted: bool, pieces: int) -> tuple[bytes, list[Any], list[Any]]:
    """Return what is said to a client that says *octets* in reads of *pieces* octets, what was put, and what was observed."""
    counter = Counter(config())
    counter.front = replace(counter.front, listener=listener.name, terms=Opening.of(listener).terms)
    caller = Caller(counter, encrypted=encrypted)
    await caller.send([octets[at : at + pieces] for at in range(0, len(octets), pieces)] + [b"\r\n.\r\nQUIT\r\n"])
    said = await caller.dismissed()
    return said, [(message.envelope, message.identity) for message in counter.recorded.messages], counter.observer.events


@pytest.fixture
def both_ways(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """What is said, put and observed, which must not depend on the way in which commands are answered."""

    async def outcomes(listener: Listener, octets: bytes, *, encrypted: bool = False) -> tuple[bytes, list[Any], list[Any]]:
        usually = await outcome(listener, octets, encrypted=encrypted, pieces=10_000)
        assert await outcome(listener, octets, encrypted=encrypted, pieces=1) == usually
        with monkeypatch.context() as without:
            without.setattr(usual, "command", lambda _octets, _position: None)
            assert await outcome(listener, octets, encrypted=encrypted, pieces=10_000) == usually
        return usually

    return outcomes


@pytest.mark.parametrize(
    ("listener", "encrypted", "octets", "result"),
    [
        (relay(networks=INSIDE), False, MAIL + THEIRS + DATA, (1, [])),
        (relay(networks=INSIDE), True, MAIL + THEIRS + DATA, (1, [])),
        (relay(networks=INSIDE, domains=("corp.example",)), False, MAIL + THEIRS + OURS + DATA, (1, [])),
        (relay(ListenerTls.NONE, INSIDE), False, MAIL + THEIRS + DATA, (1, [])),
        (relay(ListenerTls.START_TLS, INSIDE), False, MAIL + THEIRS + DATA, (0, [TLS_FIRST])),
        (relay(ListenerTls.START_TLS, INSIDE), True, MAIL + THEIRS + DATA, (1, [])),
        (relay(networks=OUTSIDE), False, MAIL + THEIRS + DATA, (0, [NO_CLIENT])),
        (relay(networks=OUTSIDE), True, MAIL + THEIRS + DATA, (0, [NO_CLIENT])),
        (relay(ListenerTls.START_TLS, OUTSIDE), False, MAIL + THEIRS + DATA, (0, [TLS_FIRST])),
        (relay(domains=("corp.example",)), False, MAIL + OURS + DATA, (1, [])),
        (relay(domains=("corp.example",)), False, MAIL + THEIRS + OURS + DATA, (1, [NO_RECIPIENT])),
        (relay(networks=OUTSIDE, domains=("corp.example",)), False, MAIL + THEIRS + DATA, (0, [NO_RECIPIENT])),
        (relay(domains=("corp.example",)), False, MAIL + b"RCPT TO:<b%example.net@corp.example>\r\n" + DATA, (0, [NO_RECIPIENT])),
        (relay(domains=("corp.example",)), False, MAIL + b"RCPT TO:<Postmaster>\r\n" + DATA, (0, [NO_RECIPIENT])),
        (relay(domains=("corp.example",)), False, b"MAIL FROM:<>\r\n" + OURS + DATA, (1, [])),
        (relay(networks=OUTSIDE), True, LOGIN + MAIL + THEIRS + DATA, (1, [])),
        (relay(domains=("corp.example",)), True, LOGIN + MAIL + THEIRS + DATA, (1, [])),
        (relay(domains=("corp.example",)), True, MAIL + THEIRS + b"RSET\r\n" + LOGIN + MAIL + THEIRS + DATA, (1, [NO_RECIPIENT])),
        (relay(networks=INSIDE), False, LOGIN + MAIL + THEIRS + DATA, (1, [b"538 5.7.11 "])),
        (
            relay(ListenerTls.NONE, INSIDE),
            False,
            LOGIN + b"STARTTLS\r\n",
            (0, [b"538 5.7.11 ", b"502 5.5.1 STARTTLS is not offered here\r\n"]),
        ),
    ],
)
async def test_who_sends_to_whom(
    both_ways: Callable[..., Any],
    listener: Listener,
    encrypted: bool,  # noqa: FBT001 a table's column
    octets: bytes,
    result: tuple[int, list[bytes]],
) -> None:
    """The table of `smtp_gateway.policy.relaying`, by both ways, in the clear and under TLS; every refusal is counted."""
    sent, refused = result
    said, messages, events = await both_ways(listener, EHLO + octets, encrypted=encrypted)

    assert said.count(b"250 2.0.0 Ok: queued") == len(messages) == sent
    assert all(words in said for words in refused)
    assert all(said.count(words) == 0 for words in {NO_CLIENT, NO_RECIPIENT, TLS_FIRST} - set(refused))
    assert len([event for event in events if event[0] == "refused"]) >= len(refused)


@pytest.mark.parametrize(
    ("listener", "encrypted", "offered"),
    [
        (relay(networks=INSIDE), False, {"STARTTLS"}),
        (relay(networks=INSIDE), True, {"AUTH"}),
        (relay(networks=OUTSIDE), False, {"STARTTLS"}),
        (relay(ListenerTls.NONE, INSIDE), False, set()),
    ],
)
async def test_what_is_offered(both_ways: Callable[..., Any], listener: Listener, encrypted: bool, offered: set[str]) -> None:  # noqa: FBT001 a table's column
    """AUTH is never offered in the clear, and STARTTLS only where TLS is to be had."""
    said, _, _ = await both_ways(listener, EHLO, encrypted=encrypted)

    words = {line[4:].split(b" ")[0].decode() for line in said.splitlines() if line.startswith(b"250")}
    assert words & {"STARTTLS", "AUTH"} == offered


async def test_mail_without_a_login_is_the_listeners(both_ways: Callable[..., Any]) -> None:
    """Its identity is the listener, for whoever sends it; with a login it is the Secret's, as everywhere."""
    _, (without,), _ = await both_ways(relay(networks=INSIDE), EHLO + MAIL + THEIRS + DATA, encrypted=True)
    _, (with_login,), _ = await both_ways(relay(networks=INSIDE), EHLO + LOGIN + MAIL + THEIRS + DATA, encrypted=True)

    assert (without[1], with_login[1]) == ("listener/relay", "app-logins")


async def test_the_trace_header_says_how_it_came(tmp_path: Path) -> None:
    """ESMTP in the clear, ESMTPS behind STARTTLS, ESMTPSA with a login (RFC 3848)."""
    async with reception(tmp_path, serving(relay(networks=LOOPBACK))) as opened:
        port = opened.listeners.ports["relay"]
        async with Conversation.with_server(port) as client:
            await client.expect("220 *")
            await client.ask("EHLO client.example")
            await client.send(b"x\r\n.\r\n")
            await client.starttls(TLS)
            await client.ask("EHLO client.example")
            await client.send(b"x\r\n.\r\n")
            await client.ask(LOGIN.decode().strip(), "235 2.7.0 *")
            await client.send(b"x\r\n.\r\n")

        traces = [bytes(message.body).splitlines()[1].split()[3] for message in opened.spool.messages if isinstance(message.body, bytes)]
        assert traces == [b"ESMTP", b"ESMTPS", b"ESMTPSA"]


async def test_networks_and_terms_follow_the_configuration(tmp_path: Path) -> None:
    """A network that is trusted no more is refused with the next session, without a restart; a session under way keeps its word."""
    async with running(tmp_path, serving(relay(networks=LOOPBACK))) as gateway, Conversation.with_server(gateway.ports["relay"]) as before:
        await before.expect("220 *")
        await before.ask("EHLO client.example")

        gateway.reconfigure(serving(relay(networks=OUTSIDE)))
        async with Conversation.with_server(gateway.ports["relay"]) as after:
            await after.expect("220 *")
            await after.ask("EHLO client.example")
            await after.ask("MAIL FROM:<a@example.com>", "550 5.7.1 Relaying denied: this network sends only with a login")

        gateway.reconfigure(serving(Listener(name="relay", port=25)))
        async with Conversation.with_server(gateway.ports["relay"]) as closed:
            await closed.expect("220 *")
            await closed.ask("EHLO client.example")
            await closed.ask("MAIL FROM:<a@example.com>", "530 5.7.0 Must issue a STARTTLS command first")

        await before.send(b"Subject: one\r\n\r\n.\r\n")


async def test_a_gateway_without_listeners_delivers_what_it_has(tmp_path: Path, sink: Sink) -> None:
    """With every listener withheld a pod is ready: it takes no mail, and what is in its spool goes on its way."""
    route = Route(name="default", smarthosts=config(sink.port).routes[0].smarthosts, retry=Retry(initial=0.1, maximum=0.1))
    wanted = serving(relay(networks=LOOPBACK)).model_copy(update={"routes": (route,)})
    await sink.stop()
    async with running(tmp_path, wanted) as gateway, Conversation.with_server(gateway.ports["relay"]) as client:
        await client.expect("220 *")
        await client.ask("EHLO client.example")
        await client.send(b"Subject: kept\r\n\r\n.\r\n")

    await sink.start()
    async with running(tmp_path, wanted.model_copy(update={"listeners": ()})) as gateway:
        assert gateway.not_ready() is None
        assert not gateway.ports
        await eventually(lambda: len(sink.taken) == 1, within=20, what="the mail of before is delivered")


async def test_nobody_logs_in_within_a_transaction(both_ways: Callable[..., Any]) -> None:
    """503 (RFC 4954 section 4): its sender was judged as a stranger's, who may be anybody, and not as that of the login."""
    chunk = b"BDAT 6\r\nA: b\r\n"
    said, messages, _ = await both_ways(
        relay(domains=("corp.example",)), EHLO + MAIL + LOGIN + OURS + LOGIN + chunk + LOGIN + THEIRS, encrypted=True
    )

    assert said.count(b"503 5.5.1 AUTH is not permitted during a mail transaction\r\n") == 3
    assert b"235 " not in said
    assert messages == []


@pytest.mark.parametrize("encrypted", [True, False])
async def test_requiretls_is_a_parameter_under_tls_alone(both_ways: Callable[..., Any], *, encrypted: bool) -> None:
    """In the clear nobody may ask for it (RFC 8689 section 4.1): what came in the clear cannot have been under TLS all the way."""
    mail = MAIL.replace(b">", b"> REQUIRETLS")
    said, put, _ = await both_ways(relay(networks=INSIDE), EHLO + mail + THEIRS + DATA, encrypted=encrypted)

    assert (b"REQUIRETLS" in said) is encrypted
    assert [envelope.requiretls for envelope, _ in put] == ([True] if encrypted else [])
    assert encrypted or b"\r\n555 5.5.4 MAIL FROM parameters not recognized or not implemented\r\n" in said
