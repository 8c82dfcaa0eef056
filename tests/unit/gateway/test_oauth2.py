"""What a token endpoint is sent, and what its answer means."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from pydantic import ValidationError

from smtp_gateway.config.grants import ClientAuthentication, Grant
from smtp_gateway.delivery.oauth2 import (
    LONGEST_LIFE,
    LONGEST_REASON,
    LONGEST_TOKEN,
    SHORTEST_LIFE,
    UNTOLD_LIFE,
    Granted,
    Refused,
    judge,
    request,
    retry_after,
    sentence,
)
from smtp_gateway.delivery.tokens import LONGEST_ASKED_REST, LONGEST_REST, accepted, rest

URL = "https://login.example/oauth2/token"
TOKEN = {"access_token": "t0k3n", "token_type": "Bearer", "expires_in": 3600}


def grant(**other: Any) -> Grant:
    """Return a client's own grant, or *other* than that."""
    return Grant(**{"token_url": URL, "client_id": "app", "client_secret": "s3cr3t"} | other)


def test_a_client_asks_with_its_own_credentials() -> None:
    """RFC 6749 section 4.4.2, with the secret in the form."""
    asked = request(grant(scope="a b"), None)

    assert asked.form == {"grant_type": "client_credentials", "scope": "a b", "client_id": "app", "client_secret": "s3cr3t"}
    assert asked.headers == {}


def test_a_refresh_token_goes_first_and_a_newer_one_before_it() -> None:
    """RFC 6749 section 6; a scope that was not asked for is not sent."""
    asked = grant(refresh_token="r3fr3sh")

    assert request(asked, None).form == {
        "grant_type": "refresh_token",
        "refresh_token": "r3fr3sh",
        "client_id": "app",
        "client_secret": "s3cr3t",
    }
    assert request(asked, "newer").form["refresh_token"] == "newer"


def test_a_public_client_has_no_secret() -> None:
    """It is named, and its refresh token is enough."""
    assert request(grant(client_secret=None, refresh_token="r"), None).form == {
        "grant_type": "refresh_token",
        "refresh_token": "r",
        "client_id": "app",
    }


def test_by_http_basic_both_are_encoded_first() -> None:
    """RFC 6749 section 2.3.1: as in a form, and then in base64."""
    asked = request(grant(client_id="a:b", client_secret="c d%", client_authentication=ClientAuthentication.BASIC), None)

    assert asked.form == {"grant_type": "client_credentials"}
    assert base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == b"a%3Ab:c+d%25"


def test_what_is_sent_is_not_shown() -> None:
    """Neither by the grant nor by the request nor by what comes of it."""
    asked = grant(refresh_token="r3fr3sh")
    shown = repr((asked, request(asked, "newer"), judge(200, json.dumps(TOKEN | {"refresh_token": "n3w3r"}).encode(), ())))

    assert not [one for one in ("s3cr3t", "r3fr3sh", "newer", "t0k3n", "n3w3r") if one in shown]


@pytest.mark.parametrize(
    ("told", "life"),
    [
        (3599, 3599.0),
        ("3599", 3599.0),
        (3599.5, 3599.5),
        (None, UNTOLD_LIFE),
        ("soon", UNTOLD_LIFE),
        ([], UNTOLD_LIFE),
        (float("nan"), UNTOLD_LIFE),
        (0, SHORTEST_LIFE),
        (-5, SHORTEST_LIFE),
        (float("inf"), LONGEST_LIFE),
        (10**400, UNTOLD_LIFE),
    ],
)
def test_what_is_believed_of_a_life(told: object, life: float) -> None:
    """A number or a number in a string, within bounds; nothing that an endpoint says makes it be asked all the time or never again."""
    assert judge(200, json.dumps(TOKEN | {"expires_in": told}).encode(), ()) == Granted("t0k3n", life)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "answered 200 without a usable access token"),
        (b"<html>", "answered 200 without a usable access token"),
        (b"[" * 100_000, "answered 200 without a usable access token"),
        (b'["access_token"]', "answered 200 without a usable access token"),
        (json.dumps(TOKEN | {"access_token": 7}).encode(), "answered 200 without a usable access token"),
        (json.dumps(TOKEN | {"access_token": "a\x01b"}).encode(), "answered 200 without a usable access token"),
        (json.dumps(TOKEN | {"access_token": "a\r\nQUIT"}).encode(), "answered 200 without a usable access token"),
        (json.dumps(TOKEN | {"access_token": "x" * (LONGEST_TOKEN + 1)}).encode(), "answered 200 without a usable access token"),
        (json.dumps(TOKEN | {"token_type": "mac"}).encode(), "gave a token that is not a bearer token (RFC 6750)"),
        (json.dumps({"access_token": "t"}).encode(), "gave a token that is not a bearer token (RFC 6750)"),
    ],
)
def test_an_answer_without_a_token(body: bytes, reason: str) -> None:
    """What it holds is not told: it may be a secret in a form that we do not know."""
    assert judge(200, body, ()) == Refused(reason)


@pytest.mark.parametrize(
    ("status", "body", "reason", "error"),
    [
        (400, b'{"error": "invalid_grant"}', "said invalid_grant", "invalid_grant"),
        (
            401,
            b'{"error": "invalid_client", "error_description": "No.\\r\\n Not you."}',
            "said invalid_client: No. Not you.",
            "invalid_client",
        ),
        (
            400,
            b'{"error": "invalid_client", "error_description": "AADSTS7000222: Expired. Trace ID: 1 Correlation ID: 2 Timestamp: 3Z"}',
            "said invalid_client: AADSTS7000222: Expired.",
            "invalid_client",
        ),
        (400, b'{"error": "invalid_request", "error_description": "Timestamp: 3Z"}', "said invalid_request", "invalid_request"),
        (400, b'{"error": 7}', "answered 400 without a reason", ""),
        (503, b"<html>", "answered 503 without a reason", ""),
        (302, b"", "answered 302; redirections are not followed", ""),
        (204, b"", "answered 204 without a reason", ""),
    ],
)
def test_a_refusal_is_told_in_the_endpoint_s_words(status: int, body: bytes, reason: str, error: str) -> None:
    """In one line."""
    assert judge(status, body, ()) == Refused(reason, error)


def test_an_endpoint_that_repeats_a_secret_is_not_repeated() -> None:
    """Neither as it is nor as a form writes it, and nothing that a terminal would act on."""
    told = sentence("secret a b/c+ or a+b%2Fc%2B is wrong \x1b[31m\u20ac" + "x" * 1000, ["a b/c+"])

    assert told.startswith("secret *** or *** is wrong ?[31m?xxx")
    assert len(told) == LONGEST_REASON


@pytest.mark.parametrize(("header", "seconds"), [(None, 0), ("120", 120), ("Fri, 31 Dec 1999 23:59:59 GMT", 0), ("-1", 0), ("1e9", 0)])
def test_how_long_it_asks_to_be_left_alone(header: str | None, seconds: float) -> None:
    """In seconds; a date is not understood."""
    assert retry_after(header) == seconds


@pytest.mark.parametrize(
    ("failures", "asked", "seconds"),
    [(1, 0, 5), (2, 0, 10), (4, 0, 40), (5, 0, LONGEST_REST), (10_000, 0, LONGEST_REST), (1, 120, 120), (1, 10**6, LONGEST_ASKED_REST)],
)
def test_how_long_it_is_left_alone(failures: int, asked: float, seconds: float) -> None:
    """Longer with each failure, as long as it asks for, and never for ever."""
    assert rest(failures, asked) == seconds


@pytest.mark.parametrize(("life", "renew", "end"), [(3600, 3300, 3590), (60, 54, 54), (600, 540, 590)])
def test_when_a_token_is_renewed_and_when_it_ends(life: float, renew: float, end: float) -> None:
    """Five minutes before its end or in the last tenth of its life; it is not shown in its last ten seconds."""
    token = accepted(Granted("t", life), 1000.0)

    assert (token.renew_at - 1000, token.ends_at - 1000) == (renew, end)


@pytest.mark.parametrize(
    "other",
    [
        {"token_url": "http://login.example/token"},
        {"token_url": "https:///token"},
        {"token_url": "https://a:b@login.example/token"},
        {"token_url": "https://login.example/token#here"},
        {"token_url": "https://login.example/to ken"},
        {"token_url": "https://login.example:0/token"},
        {"token_url": "https://login.example:99999/token"},
        {"token_url": "https://[::1/token"},
        {"client_id": ""},
        {"client_id": "app\n"},
        {"client_secret": "s3cr3t\n"},
        {"client_secret": ""},
        {"client_secret": None},
        {"client_secret": None, "refresh_token": "r3fr3sh", "client_authentication": ClientAuthentication.BASIC},
        {"refresh_token": "r3fr3sh\r\n"},
        {"scope": "a  b"},
        {"scope": 'a"'},
        {"scope": "a\n"},
    ],
)
def test_what_no_grant_is(other: dict[str, Any]) -> None:
    """TLS is a must, and what an editor puts behind a secret is found before an endpoint finds it. The secret is not told."""
    with pytest.raises(ValidationError) as error:
        grant(**other)
    assert "s3cr3t" not in str(error.value)
    assert "r3fr3sh" not in str(error.value)


@pytest.mark.parametrize(("url", "host", "port"), [(URL, "login.example", 443), ("https://10.0.0.1:8443/t", "10.0.0.1", 8443)])
def test_where_an_endpoint_is(url: str, host: str, port: int) -> None:
    """For people, and for a NetworkPolicy."""
    asked = grant(token_url=url)

    assert (asked.host, asked.port) == (host, port)
