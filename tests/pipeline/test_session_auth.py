from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from smtp_gateway.listener.lines import AUTH_LIMIT
from tests.support.conversation import Conversation, encoded, plain
from tests.support.gateway import Reception, config, login, reception, trusting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TLS = trusting()


@pytest.fixture
async def way_in(tmp_path: Path) -> AsyncIterator[Reception]:
    """The way in."""
    async with reception(tmp_path) as opened:
        yield opened


async def test_wrong_credentials_are_refused_alike(way_in: Reception) -> None:
    """Wrong password or unknown login: the same 535, and a log line without either."""
    async with Conversation.with_server(way_in.port) as client:
        await client.greeted(TLS)
        with capture_logs() as logs:
            await client.ask(f"AUTH PLAIN {plain('app', 'wrong')}", "535 5.7.8 Authentication credentials invalid")
            await client.ask(f"AUTH PLAIN {plain('nobody', 'secret')}", "535 5.7.8 Authentication credentials invalid")
        await client.ask("MAIL FROM:<a@example.com>", "530 5.7.0 Authentication required")
        await client.ask(f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *")

    assert [line["event"] for line in logs] == ["authentication failed"] * 2
    assert logs[0]["peer"] == "127.0.0.1"
    assert not any(word in repr(logs) for word in ("wrong", "nobody", "'app'"))
    assert ("authenticated", "PLAIN", False) in way_in.observer.events


async def test_every_way_to_authenticate(way_in: Reception) -> None:
    """PLAIN and LOGIN, with and without an initial response, mechanism names in any case."""
    name, password = encoded("app"), encoded("secret")
    for steps in (
        [(f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *")],
        [("AUTH PLAIN", "334 "), (plain("app", "secret"), "235 2.7.0 *")],
        [("AUTH LOGIN", f"334 {encoded('Username:')}"), (name, f"334 {encoded('Password:')}"), (password, "235 2.7.0 *")],
        [(f"AUTH login {name}", "334 *"), (password, "235 2.7.0 *")],
    ):
        async with Conversation.with_server(way_in.port) as client:
            await client.greeted(TLS)
            for line, pattern in steps:
                await client.ask(line, pattern)
            await client.ask("AUTH PLAIN", "503 5.5.1 *")
            await client.send(b"x\r\n.\r\n")
    assert len(way_in.spool.messages) == 4


@pytest.mark.parametrize(
    ("lines", "pattern"),
    [
        (["AUTH PLAIN", "*"], "501 5.7.0 *"),
        (["AUTH LOGIN", "*"], "501 5.7.0 *"),
        (["AUTH LOGIN", "YXBw", "*"], "501 5.7.0 *"),
        (["AUTH PLAIN", "no base64!"], "501 5.5.2 *"),
        (["AUTH PLAIN not-base64"], "501 5.5.2 *"),
        (["AUTH PLAIN YXBw"], "501 5.5.2 *"),
        (["AUTH CRAM-MD5"], "504 5.5.4 *"),
        (["AUTH"], "501 5.5.4 *"),
        (["AUTH PLAIN a b"], "501 5.5.4 *"),
        (["AUTH PLAIN", "x" * (AUTH_LIMIT + 1)], "500 5.5.6 *"),
        (["AUTH PLAIN " + "YXBw" * 3500], "500 5.5.2 *"),
    ],
)
async def test_an_exchange_that_goes_wrong_ends_with_one_reply(way_in: Reception, lines: list[str], pattern: str) -> None:
    """Cancelled, malformed or too long: the session goes on, without a login."""
    async with Conversation.with_server(way_in.port) as client:
        await client.greeted(TLS)
        for line in lines[:-1]:
            await client.ask(line, "334 *")
        await client.ask(lines[-1], pattern)
        await client.ask("MAIL FROM:<a@example.com>", "530 5.7.0 *")


async def test_a_long_token_fits(tmp_path: Path) -> None:
    """Passwords may be tokens of thousands of octets (RFC 4954 section 4)."""
    token = "t" * 8000
    async with reception(tmp_path, config(logins=(login(password=token),))) as way_in:
        for steps in ([f"AUTH PLAIN {plain('app', token)}"], ["AUTH PLAIN", plain("app", token)]):
            async with Conversation.with_server(way_in.port) as client:
                await client.greeted(TLS)
                for line in steps[:-1]:
                    await client.ask(line, "334 *")
                await client.ask(steps[-1], "235 2.7.0 *")


async def test_new_logins_count_at_the_next_auth_and_drop_nobody(way_in: Reception) -> None:
    """A session that is in stays in; the old password opens no new one."""
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        way_in.logins.reconfigure([login(password="new")])
        await client.send(b"x\r\n.\r\n")
    async with Conversation.with_server(way_in.port) as other:
        await other.greeted(TLS)
        await other.ask(f"AUTH PLAIN {plain('app', 'secret')}", "535 5.7.8 *")
        await other.ask(f"AUTH PLAIN {plain('app', 'new')}", "235 2.7.0 *")


async def test_sessions_of_one_listener_answer_for_themselves(way_in: Reception) -> None:
    """Sessions are copies of the first one, and an exchange begun in one goes on in that one."""
    async with Conversation.with_server(way_in.port) as first, Conversation.with_server(way_in.port) as second:
        for client in (first, second):
            await client.greeted(TLS)
        for client in (second, first):
            await client.ask("AUTH LOGIN", "334 *")
        for client in (first, second):
            await client.ask(encoded("app"), "334 *")
        await second.ask(encoded("wrong"), "535 5.7.8 *")
        await first.ask(encoded("secret"), "235 2.7.0 *")
        await second.ask("MAIL FROM:<a@example.com>", "530 5.7.0 *")
        await first.send(b"Subject: x\r\n\r\n.\r\n")
