from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import bcrypt
import pytest
from argon2 import PasswordHasher
from structlog.testing import capture_logs

from smtp_gateway import authentication
from smtp_gateway.authentication import ATTEMPTS, Sources
from smtp_gateway.listener.lines import AUTH_LIMIT
from smtp_gateway.policy.bans import ALLOWED
from tests.support.conversation import Conversation, encoded, plain
from tests.support.gateway import Reception, config, login, reception, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TLS = trusting()
NUL = "\0"


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
    assert ("authentication failed", "PLAIN", "credentials") in way_in.observer.events


async def test_every_way_to_authenticate(way_in: Reception) -> None:
    """PLAIN and LOGIN, with and without an initial response, mechanism names in any case."""
    name, password = encoded("app"), encoded("secret")
    for steps in (
        [(f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *")],
        [(f"AUTH PLAIN {encoded('app' + NUL + 'app' + NUL + 'secret')}", "235 2.7.0 *")],
        [(f"AUTH  plain   {plain('app', 'secret')}  ", "235 2.7.0 *")],
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
    assert len(way_in.spool.messages) == 6


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
        (["AUTH PLAIN ="], "501 5.5.2 *"),
        (["AUTH PLAIN", ""], "501 5.5.2 *"),
        (["AUTH PLAIN *"], "501 5.5.2 *"),
        (["AUTH PLAIN \u00fc"], "501 5.5.2 *"),
        (["AUTH LOGIN =", encoded("secret")], "535 5.7.8 *"),
        (["AUTH LOGIN", "", encoded("secret")], "535 5.7.8 *"),
        (["AUTH LOGIN", encoded("app"), ""], "535 5.7.8 *"),
        (["AUTH LOGIN", encoded("app"), "YXBw "], "501 5.5.2 *"),
        ([f"AUTH PLAIN {encoded('other' + NUL + 'app' + NUL + 'secret')}"], "535 5.7.8 *"),
        ([f"AUTH PLAIN {encoded('app' + NUL + 'secret' + NUL)}"], "535 5.7.8 *"),
        ([f"AUTH PLAIN {plain('', '')}"], "535 5.7.8 *"),
        ([f"AUTH PLAIN {plain('app', 'secret' + NUL)}"], "501 5.5.2 *"),
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


@pytest.mark.parametrize(("octets", "pattern"), [(AUTH_LIMIT, "235 *"), (AUTH_LIMIT + 1, "500 5.5.2 *")])
async def test_the_longest_line_fits_and_no_longer_one(tmp_path: Path, octets: int, pattern: str) -> None:
    """12,288 octets with the CRLF, as the whole command and as an answer."""
    room = AUTH_LIMIT - len("AUTH PLAIN \r\n")
    token = "t" * (room // 4 * 3 - len("0app0"))
    async with reception(tmp_path, config(logins=(login(password=token),))) as way_in:
        async with Conversation.with_server(way_in.port) as client:
            await client.greeted(TLS)
            command = f"AUTH PLAIN {plain('app', token)}"
            # What is missing to the limit is white space, which is nothing between words.
            await client.ask(command.replace(" ", " " * (octets - len(command) - 1), 1), pattern)
        async with Conversation.with_server(way_in.port) as client:
            await client.greeted(TLS)
            await client.ask("AUTH PLAIN", "334 *")
            await client.ask("x" * (octets - 2), "501 5.5.2 *" if octets == AUTH_LIMIT else "500 5.5.6 *")


async def test_passwords_are_octets(tmp_path: Path) -> None:
    """UTF-8 as the Secret has it, and nothing is prepared: another way to write the same characters is another password."""
    name, password, another = "m\u00fcller", "pa\u00df w\u00f6rt", "pa\u00df wo\u0308rt"
    async with reception(tmp_path, config(logins=(login(name, password),))) as way_in, Conversation.with_server(way_in.port) as client:
        await client.greeted(TLS)
        await client.ask(f"AUTH PLAIN {plain(name, another)}", "535 5.7.8 *")
        await client.ask(f"AUTH PLAIN {plain(name, password)}", "235 2.7.0 *")


@pytest.mark.parametrize("kept", [PasswordHasher(1, 8, 1).hash("secret"), bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()])
async def test_hashed_passwords(tmp_path: Path, kept: str) -> None:
    """Both kinds, by both mechanisms; the hash itself is no password."""
    async with reception(tmp_path, config(logins=(login(password=kept),))) as way_in:
        async with Conversation.with_server(way_in.port) as client:
            await client.greeted(TLS)
            for wrong in ("wrong", kept):
                await client.ask(f"AUTH PLAIN {plain('app', wrong)}", "535 5.7.8 *")
            await client.ask(f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *")
            await client.send(b"x\r\n.\r\n")
        async with Conversation.with_server(way_in.port) as client:
            await client.greeted(TLS)
            await client.ask(f"AUTH LOGIN {encoded('app')}", "334 *")
            await client.ask(encoded("secret"), "235 2.7.0 *")


async def test_too_many_failures_end_the_session(way_in: Reception) -> None:
    """The last is told so; what was pipelined behind it is not answered."""
    async with Conversation.with_server(way_in.port) as client:
        await client.greeted(TLS)
        for number in range(ATTEMPTS - 1):
            await client.ask(f"AUTH PLAIN {plain('app', f'wrong {number}')}", "535 5.7.8 *")
        await client.write(f"AUTH PLAIN {plain('app', 'wrong')}\r\nNOOP\r\n".encode())
        await client.expect("421 4.7.0 Too many failed logins, goodbye")
        await client.hung_up()


async def test_a_network_that_guesses_is_told_to_come_later(way_in: Reception) -> None:
    """From many sessions; right and wrong logins alike, but for one that was at work before."""
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
    for number in range(2 * ALLOWED + 1):
        async with Conversation.with_server(way_in.port) as client:
            await client.greeted(TLS)
            await client.ask(f"AUTH PLAIN {plain(f'guess {number}', 'x')}", "535 5.7.8 *")
    async with Conversation.with_server(way_in.port) as client:
        await client.greeted(TLS)
        await client.ask(f"AUTH PLAIN {plain('app', 'other')}", "454 4.7.0 Too many failed logins from your network, try again later")
        await client.ask(f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *")


async def test_exchanges_that_broke_off_are_counted(way_in: Reception) -> None:
    """By mechanism: cancelled, and not what the mechanism asks for."""
    async with Conversation.with_server(way_in.port) as client:
        await client.greeted(TLS)
        await client.ask("AUTH LOGIN", "334 *")
        await client.ask("*", "501 5.7.0 *")
        await client.ask("AUTH PLAIN YXBw", "501 5.5.2 *")
        await client.ask("AUTH PLAIN !", "501 5.5.2 *")

    failed = [event[1:] for event in way_in.observer.events if event[0] == "authentication failed"]
    assert failed == [("LOGIN", "incomplete"), ("PLAIN", "incomplete"), ("PLAIN", "incomplete")]


async def test_who_waits_for_a_refusal_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    """Another one is served meanwhile; and when the client hangs up, the wait ends with its connection and nothing is left behind."""
    waiting, over = asyncio.Event(), asyncio.Event()

    async def pause(_delay: float, gone: asyncio.Future[None] | None) -> None:
        waiting.set()
        await authentication.patience(3600.0, gone)
        over.set()

    async with reception(tmp_path, sources=Sources(pause=pause)) as way_in:
        async with Conversation.with_server(way_in.port) as client, Conversation.with_server(way_in.port) as other:
            await client.greeted(TLS)
            await client.write(f"AUTH PLAIN {plain('app', 'wrong')}\r\n".encode())
            await waiting.wait()
            await other.authenticated(TLS)
            await other.send(b"x\r\n.\r\n")
            client.vanish()
        await eventually(lambda: way_in.observer.open == 0, what="both sessions are over")
        await eventually(over.is_set, what="nothing waits any more")


async def test_new_logins_count_at_the_next_auth_and_drop_nobody(way_in: Reception) -> None:
    """A session that is in stays in; the old password opens no new one."""
    async with Conversation.with_server(way_in.port) as client:
        await client.authenticated(TLS)
        way_in.authentication.reconfigure([login(password="new")])
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
