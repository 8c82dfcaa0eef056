"""What is said to show an access token, and what is kept of a refusal."""

from __future__ import annotations

import base64
import json

import pytest

from smtp_gateway.delivery.bearer import by_token
from smtp_gateway.delivery.faults import NoMechanismError
from smtp_gateway.delivery.oauth2 import LONGEST_REASON
from smtp_gateway.delivery.sasl import chosen, explained
from smtp_gateway.mail.reply import Reply

XOAUTH2, OAUTHBEARER = by_token("app@example.com", "t0k3n")


def encoded(text: str) -> str:
    """Return *text* in base64."""
    return base64.b64encode(text.encode()).decode()


def test_the_form_of_google_and_microsoft() -> None:
    """Their own examples."""
    assert by_token("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")[0].lines == (
        "AUTH XOAUTH2 dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==",
    )
    assert by_token("test@contoso.onmicrosoft.com", "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA")[0].encoded == (
        "dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJDM0VvQUEBAQ==",
    )


def test_the_form_of_rfc_7628() -> None:
    """The name is a saslname, in which a comma would end it."""
    assert by_token("a=b,c@example.com", "t")[1].responses == (b"n,a=a=3Db=2Cc@example.com,\x01auth=Bearer t\x01\x01",)


@pytest.mark.parametrize(("offered", "expected"), [({"PLAIN", "OAUTHBEARER", "XOAUTH2"}, XOAUTH2), ({"PLAIN", "OAUTHBEARER"}, OAUTHBEARER)])
def test_which_mechanism_is_used(offered: set[str], expected: object) -> None:
    """What the large providers document goes first."""
    assert chosen((XOAUTH2, OAUTHBEARER), frozenset(offered)) == expected


def test_a_token_is_not_shown_to_those_who_take_passwords() -> None:
    """The sentence tells what is offered and what would be needed."""
    with pytest.raises(NoMechanismError, match="offers AUTH LOGIN PLAIN alone under TLS; the credentials are for XOAUTH2 or OAUTHBEARER"):
        chosen((XOAUTH2, OAUTHBEARER), frozenset({"PLAIN", "LOGIN"}))


def test_a_token_is_not_in_the_text_of_a_mechanism() -> None:
    """Nor what is said for it."""
    assert not [one for one in ("t0k3n", encoded("auth=Bearer"), XOAUTH2.encoded[0]) if one in repr((XOAUTH2, OAUTHBEARER))]


@pytest.mark.parametrize("challenge", ["", "no base64", encoded("no JSON"), encoded("[1]"), encoded("{}"), encoded('{"a": {}}')])
def test_a_challenge_that_tells_nothing(challenge: str) -> None:
    """The reply stays as it is."""
    reply = Reply(535, "5.7.8", "No")
    assert explained(reply, challenge, XOAUTH2) == reply


def test_a_challenge_is_no_way_to_show_a_token_or_more_than_a_line() -> None:
    """Whatever a server writes into it."""
    challenge = encoded(json.dumps({"status": "token t0k3n\r\n\x1b", "scope": "s" * 1000, "c": 1, "d": "unheard"}))
    text = explained(Reply(535, "5.7.8", "No"), challenge, XOAUTH2).text

    assert text.startswith("No (status=token *** ?, scope=sss")
    assert "unheard" not in text
    assert len(text) == len("No ()") + LONGEST_REASON
