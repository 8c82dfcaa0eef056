"""Access tokens from a real endpoint: kept, renewed, shared, refused; and what is told when there is none."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest
import trustme
from structlog.testing import capture_logs

from smtp_gateway.config.grants import ClientAuthentication
from smtp_gateway.delivery.faults import TokenUnavailableError
from smtp_gateway.delivery.token_endpoint import LONGEST_ANSWER, TokenEndpoint
from smtp_gateway.delivery.tokens import FIRST_REST, FRESH, Tokens
from tests.support.dispatching import Clock
from tests.support.sink import Cut, Hang, Raw
from tests.support.token_server import AUTHORITY, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, Says, TokenServer, gives, refuses, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, MutableMapping

    from smtp_gateway.config.grants import Grant


@pytest.fixture
async def server() -> AsyncIterator[TokenServer]:
    """A token endpoint."""
    async with TokenServer() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    """The clock of the tokens."""
    return Clock()


@pytest.fixture
async def tokens(clock: Clock) -> AsyncIterator[Tokens]:
    """Tokens from endpoints that show a certificate of the tests' authority."""
    kept = Tokens(TokenEndpoint(trusting(), patience=5), clock)
    yield kept
    await kept.close()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged; a secret is in none of it."""
    with capture_logs() as lines:
        yield lines
    assert not [one for one in (CLIENT_SECRET, REFRESH_TOKEN, "token-", "n3w3r") if one in str(lines)]


async def fault(tokens: Tokens, grant: Grant) -> str:
    """Return why there is no token."""
    with pytest.raises(TokenUnavailableError) as error:
        await tokens.token(grant)
    assert error.value.__cause__ is None  # the cause of a probe is this, and not what is wrong with the endpoint's connection
    return str(error.value)


async def test_a_token_is_asked_for_once(server: TokenServer, tokens: Tokens) -> None:
    """By a form over HTTPS, and then it is kept."""
    grant = server.grant()

    assert [await tokens.token(grant) for _ in range(3)] == ["token-1"] * 3
    (asked,) = server.asked
    assert asked.path == "/oauth2/token"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.form == {
        "grant_type": "client_credentials",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "scope": "mail.send",
    }


async def test_sessions_that_begin_together_wait_for_one_request(server: TokenServer, tokens: Tokens) -> None:
    """Also when one of them goes away meanwhile."""
    server.open.clear()
    grant = server.grant()
    waiting = [asyncio.create_task(tokens.token(grant)) for _ in range(5)]
    await eventually(lambda: server.asked)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    server.open.set()

    assert await asyncio.gather(*waiting[1:]) == ["token-1"] * 4
    assert len(server.asked) == 1


async def test_grants_do_not_wait_for_each_other(server: TokenServer, tokens: Tokens) -> None:
    """Each has a token of its own."""
    assert await tokens.token(server.grant()) == "token-1"
    assert await tokens.token(server.grant(client_id="another")) == "token-2"


async def test_a_token_is_renewed_before_its_end_and_nobody_waits(
    server: TokenServer, tokens: Tokens, clock: Clock, logs: list[MutableMapping[str, Any]]
) -> None:
    """The one before is used until the new one is there."""
    grant = server.grant()
    await tokens.token(grant)
    clock.now += 3301
    server.open.clear()

    assert [await tokens.token(grant), await tokens.token(grant)] == ["token-1"] * 2
    server.open.set()
    await eventually(lambda: [line["event"] for line in logs] == ["access token obtained"] * 2)
    assert await tokens.token(grant) == "token-2"


async def test_an_endpoint_that_is_away_for_some_minutes_delays_nothing(server: TokenServer, tokens: Tokens, clock: Clock) -> None:
    """As long as the token before is good; then there is none."""
    grant = server.grant()
    await tokens.token(grant)
    server.answer(Says(503, {}))
    clock.now += 3301
    assert await tokens.token(grant) == "token-1"
    await eventually(lambda: len(server.asked) == 2)
    clock.now += 288
    assert await tokens.token(grant) == "token-1"

    clock.now += 120
    assert await fault(tokens, grant) == "No access token: localhost answered 503 without a reason"


async def test_a_refused_token_is_forgotten(server: TokenServer, tokens: Tokens, clock: Clock) -> None:
    """Once for all sessions that used it, and not when it is fresh: then it is not the token that the server refuses."""
    grant = server.grant()
    token = await tokens.token(grant)
    assert not tokens.refuse(grant, token)
    assert await tokens.token(grant) == "token-1"

    clock.now += FRESH
    assert tokens.refuse(grant, token)
    assert await tokens.token(grant) == "token-2"
    assert tokens.refuse(grant, token)
    assert await tokens.token(grant) == "token-2"


async def test_a_new_refresh_token_takes_the_place_of_the_old_one(server: TokenServer, tokens: Tokens, clock: Clock) -> None:
    """Until it is refused itself: then that of the configuration is tried again."""
    grant = server.grant(refresh_token=REFRESH_TOKEN)
    server.answer(gives("one", refresh_token="n3w3r"), gives("two"), refuses("invalid_grant", "n3w3r is revoked"), gives("three"))
    for expected in ("one", "two"):
        assert await tokens.token(grant) == expected
        clock.now += 3600
    assert await fault(tokens, grant) == "No access token: localhost said invalid_grant: *** is revoked"
    clock.now += FIRST_REST

    assert await tokens.token(grant) == "three"
    assert [one.form["refresh_token"] for one in server.asked] == [REFRESH_TOKEN, "n3w3r", "n3w3r", REFRESH_TOKEN]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            refuses("invalid_client", "AADSTS7000215: Invalid client secret provided.\r\n Trace"),
            "said invalid_client: AADSTS7000215: Invalid",
        ),
        (refuses("invalid_grant", f"{CLIENT_SECRET} is wrong", 401), "said invalid_grant: *** is wrong"),
        (Says(302, b"", {"Location": "https://localhost/elsewhere"}), "answered 302; redirections are not followed"),
        (Says(503, b"<html>"), "answered 503 without a reason"),
        (Says(200, b"<html>"), "answered 200 without a usable access token"),
        (Says(200, {"access_token": "x", "token_type": "mac"}), "gave a token that is not a bearer token"),
        (Says(200, b"x" * (LONGEST_ANSWER + 1)), f"answered 200 with more than {LONGEST_ANSWER} octets"),
        (Raw(b"220 mail.example ESMTP\r\n"), "does not speak HTTP"),
        (Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), "does not speak HTTP"),
        (Cut(), "closed the connection before it had answered"),
    ],
)
async def test_why_there_is_no_token(server: TokenServer, tokens: Tokens, answer: Says | Cut | Raw, told: str) -> None:
    """In one sentence, with the endpoint's words where it has some, and without a secret."""
    server.answer(answer)

    assert (await fault(tokens, server.grant())).startswith(f"No access token: localhost {told}")


@pytest.mark.parametrize("padding", ["==", ""])
async def test_an_endpoint_that_repeats_how_the_client_showed_itself(server: TokenServer, tokens: Tokens, padding: str) -> None:
    """The secret in base64, as the Authorization header has it (RFC 6749 section 2.3.1), is as little told as in the clear."""
    grant = server.grant(client_id="pads", client_authentication=ClientAuthentication.BASIC)
    shown = base64.b64encode(f"pads:{quote_plus(CLIENT_SECRET)}".encode()).decode()
    assert shown.endswith("==")
    server.answer(refuses("invalid_client", f"Basic {shown.rstrip('=')}{padding} is not known", 401))

    assert await fault(tokens, grant) == f"No access token: localhost said invalid_client: Basic ***{padding} is not known"


@pytest.mark.parametrize("answer", [Hang(), Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")])
async def test_an_endpoint_that_does_not_come_to_an_end(server: TokenServer, answer: Hang | Raw) -> None:
    """It is not waited for longer than said."""
    tokens = Tokens(TokenEndpoint(trusting(), patience=0.3))
    server.open.clear()
    server.answer(answer)

    assert await fault(tokens, server.grant()) == "No access token: localhost gave no answer within 0.3 s"


async def test_an_endpoint_that_nobody_vouches_for(server: TokenServer) -> None:
    """Gets no secret."""
    tokens = Tokens(TokenEndpoint(trusting(trustme.CA())))

    assert (
        await fault(tokens, server.grant())
        == "No access token: localhost has a certificate that is not trusted: unable to get local issuer certificate"
    )
    assert not server.asked


async def test_an_endpoint_may_have_an_authority_of_its_own(server: TokenServer) -> None:
    """It counts for this endpoint, and instead of the others; one that is none is told."""
    tokens = Tokens(TokenEndpoint(trusting(trustme.CA())))
    private, other = (authority.cert_pem.bytes().decode() for authority in (AUTHORITY, trustme.CA()))

    assert await tokens.token(server.grant(authority=private)) == "token-1"
    assert "has a certificate that is not trusted" in await fault(Tokens(TokenEndpoint(trusting())), server.grant(authority=other))
    assert (await fault(tokens, server.grant(authority="none"))).startswith("No access token: localhost was not asked: The authority ")
    assert len(server.asked) == 1


async def test_an_endpoint_with_another_s_certificate(tokens: Tokens) -> None:
    """Gets no secret either."""
    async with TokenServer("elsewhere.example") as server:
        assert "not trusted: Hostname mismatch" in await fault(tokens, server.grant())
        assert not server.asked


async def test_an_endpoint_that_is_not_there(server: TokenServer, tokens: Tokens) -> None:
    """In the system's words."""
    await server.stop()
    assert await fault(tokens, server.grant()) == "No access token: localhost could not be connected to: Connection refused"

    nowhere = server.grant(token_url="https://nowhere.invalid/token")
    assert (await fault(tokens, nowhere)).startswith("No access token: nowhere.invalid has no address: ")


async def test_an_endpoint_is_left_alone_after_a_failure(
    server: TokenServer, tokens: Tokens, clock: Clock, logs: list[MutableMapping[str, Any]]
) -> None:
    """Longer each time; the reason is told all the same, and logged once."""
    grant = server.grant()
    server.answer(refuses("invalid_client"))
    for count, wait in enumerate((5, 10, 20, 40, 60, 60), start=1):
        assert {await fault(tokens, grant) for _ in range(3)} == {"No access token: localhost said invalid_client"}
        assert len(server.asked) == count
        clock.now += wait
    assert [line["reason"] for line in logs] == ["said invalid_client"]

    server.answer(gives("at-last"))
    assert await tokens.token(grant) == "at-last"


async def test_other_credentials_are_tried_at_once(server: TokenServer, tokens: Tokens) -> None:
    """What was refused to those before does not count for them."""
    server.answer(refuses("invalid_client"), gives("mine"))
    await fault(tokens, server.grant())

    assert await tokens.token(server.grant(client_secret="another")) == "mine"


async def test_an_endpoint_that_asks_to_be_left_alone_is(server: TokenServer, tokens: Tokens, clock: Clock) -> None:
    """Retry-After is honoured."""
    grant = server.grant()
    server.answer(Says(429, {"error": "slow_down"}, {"Retry-After": "90"}))
    await fault(tokens, grant)
    clock.now += 89
    await fault(tokens, grant)
    assert len(server.asked) == 1
    clock.now += 1
    await fault(tokens, grant)
    assert len(server.asked) == 2


async def test_what_is_used_no_more_is_forgotten(server: TokenServer, tokens: Tokens) -> None:
    """With its token, and the rest stays."""
    first, second = server.grant(), server.grant(client_id="another")
    assert [await tokens.token(first), await tokens.token(second)] == ["token-1", "token-2"]
    tokens.keep([second])

    assert [await tokens.token(first), await tokens.token(second)] == ["token-3", "token-2"]


async def test_closing_ends_what_is_under_way(server: TokenServer, tokens: Tokens) -> None:
    """Whoever waits is told that there is no token."""
    server.open.clear()
    waiting = asyncio.create_task(fault(tokens, server.grant()))
    await eventually(lambda: server.asked)
    await tokens.close()

    assert await waiting == "No access token: localhost was not asked to the end"


async def test_what_nobody_foresaw_is_a_failure_like_others(
    server: TokenServer, clock: Clock, logs: list[MutableMapping[str, Any]]
) -> None:
    """It ends neither the session nor the renewals, and its cause is in the log."""

    async def broken(_grant: Grant, _refresh_token: str | None) -> Any:
        message = "unforeseen"
        raise RuntimeError(message)

    assert await fault(Tokens(broken, clock), server.grant()) == "No access token: localhost could not be asked"
    assert [line["event"] for line in logs] == ["access token request failed", "access token unavailable"]
