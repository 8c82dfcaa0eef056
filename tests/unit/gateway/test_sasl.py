"""AUTH towards next hops, as values: which mechanism, which lines, and what of a reply is kept."""

from __future__ import annotations

import base64
import random

import pytest
from pydantic import SecretStr

from smtp_gateway.config.model import CREDENTIAL_LENGTH, PasswordCredentials
from smtp_gateway.delivery.faults import NoMechanismError
from smtp_gateway.delivery.sasl import COMMAND_LENGTH, Mechanism, by_password, chosen, discreet, offered
from smtp_gateway.mail.reply import Reply

PASSWORD = "Correct-Horse-4711"
LONGEST_RESPONSE = 12_288
"""Octets of base64 in one line (RFC 4954 section 4)."""


def credentials(username: str = "apikey", password: str = PASSWORD) -> PasswordCredentials:
    """Return credentials as the configuration holds them."""
    return PasswordCredentials(identity="provider", username=SecretStr(username), password=SecretStr(password))


def by(name: str, username: str = "apikey", password: str = PASSWORD) -> Mechanism:
    """Return how credentials are told by the mechanism *name*."""
    return chosen(by_password(credentials(username, password)), frozenset({name}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hop.example\nAUTH PLAIN LOGIN\nSIZE 1000", {"PLAIN", "LOGIN"}),
        ("hop.example\nauth plain  xoauth2", {"PLAIN", "XOAUTH2"}),
        ("hop.example\nAUTH", set()),
        ("hop.example\nAUTH=PLAIN LOGIN", set()),  # what clients from before the standard read
        ("hop.example AUTH PLAIN\nAUTHOR PLAIN\n\nSIZE AUTH PLAIN", set()),
        ("AUTH PLAIN", set()),
        ("", set()),
    ],
)
def test_mechanisms_are_read_from_ehlo(text: str, expected: set[str]) -> None:
    """From the line of the keyword alone, and never from the first, which is the server's name."""
    assert offered(Reply(250, "", text)) == expected


@pytest.mark.parametrize(
    ("mechanisms", "name"),
    [({"PLAIN"}, "PLAIN"), ({"LOGIN"}, "LOGIN"), ({"LOGIN", "PLAIN", "CRAM-MD5", "XOAUTH2"}, "PLAIN"), ({"LOGIN", "GSSAPI"}, "LOGIN")],
)
def test_plain_is_better_than_login(mechanisms: set[str], name: str) -> None:
    """And what the credentials are not for is not tried."""
    assert chosen(by_password(credentials()), frozenset(mechanisms)).name == name


@pytest.mark.parametrize(
    ("mechanisms", "sentence"),
    [
        ((), "The next hop offers no AUTH under TLS; the credentials are for PLAIN or LOGIN"),
        (("XOAUTH2", "GSSAPI"), "The next hop offers AUTH GSSAPI XOAUTH2 alone under TLS; the credentials are for PLAIN or LOGIN"),
    ],
)
def test_without_a_mechanism_in_common_nothing_is_said(mechanisms: tuple[str, ...], sentence: str) -> None:
    """The sentence tells what is offered and what would be needed."""
    with pytest.raises(NoMechanismError) as fault:
        chosen(by_password(credentials()), frozenset(mechanisms))
    assert str(fault.value) == sentence


def test_plain_takes_one_line() -> None:
    """No identity to act as, the username and the password between NULs (RFC 4616), in UTF-8."""
    (line,) = by("PLAIN", "müller", "grün").lines

    assert line == f"AUTH PLAIN {base64.b64encode(chr(0).join(('', 'müller', 'grün')).encode()).decode()}"


def test_login_waits_for_its_prompts() -> None:
    """The username goes with the command nowhere: not every server reads it there."""
    assert by("LOGIN").lines == ("AUTH LOGIN", *(base64.b64encode(one.encode()).decode() for one in ("apikey", PASSWORD)))


@pytest.mark.parametrize("length", range(360, 376))
def test_what_does_not_fit_a_command_waits_for_the_challenge(length: int) -> None:
    """512 octets with the CRLF (RFC 5321 section 4.5.3.1.4); there is no other difference."""
    mechanism = by("PLAIN", "u", "p" * (length - 3))
    whole = f"AUTH PLAIN {mechanism.encoded[0]}"

    assert len(mechanism.responses[0]) == length
    assert mechanism.lines == ((whole,) if len(whole) + 2 <= COMMAND_LENGTH else ("AUTH PLAIN", *mechanism.encoded))


def test_an_empty_initial_response_is_written_as_one() -> None:
    """As "=" behind the command (RFC 4954 section 4), and as an empty line where it was asked for."""
    assert Mechanism("ANY", (b"", b""), "").lines == ("AUTH ANY =", "")
    assert Mechanism("ANY", (b"",), "", client_first=False).lines == ("AUTH ANY", "")


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN"])
def test_the_longest_credentials_fit_a_line(name: str) -> None:
    """What the configuration lets through never has to be cut."""
    mechanism = by(name, "u" * CREDENTIAL_LENGTH, "p" * CREDENTIAL_LENGTH)

    assert max(map(len, mechanism.encoded)) <= LONGEST_RESPONSE


def test_a_mechanism_does_not_show_what_it_says() -> None:
    """Not in tracebacks, either."""
    for name in ("PLAIN", "LOGIN"):
        shown = repr(by(name))
        assert not [said for said in (PASSWORD, "apikey", *by(name).encoded) if said in shown]


QUOTING = {
    "the command": "Command unrecognized: AUTH PLAIN {plain}",
    "a part of it": "Syntax error near {part}...",
    "in capitals": "UNKNOWN COMMAND {capitals}",
    "in two lines": "Cannot decode {first}\n{second}",
    "the response to LOGIN": "{login} is not valid",
    "the password": "User apikey with password {password} unknown",
}


@pytest.mark.parametrize("quoting", QUOTING.values(), ids=QUOTING)
def test_a_reply_that_quotes_what_was_said_loses_its_text(quoting: str) -> None:
    """Replies end up in logs, in bounces and in the status; the codes stay."""
    plain, login = by("PLAIN").encoded[0], by("LOGIN").encoded[1]
    text = quoting.format(
        plain=plain, part=plain[7:24], capitals=plain.upper(), first=plain[:9], second=plain[9:], login=login, password=PASSWORD
    )
    mechanism = by("LOGIN") if "{login}" in quoting else by("PLAIN")

    assert str(discreet(Reply(535, "5.7.8", text), mechanism)) == "535 5.7.8 (the text is withheld: it repeats what was sent)"


def test_short_passwords_are_not_quoted_either() -> None:
    """Shorter than what is looked for otherwise."""
    assert "xq7" not in str(discreet(Reply(535, "", "xq7? Really?"), by("PLAIN", password="xq7")))


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize(
    "text",
    [
        "Username and Password not accepted. Learn more at\nhttps://support.example/mail/?p=BadCredentials d9443c01a7336-1c2a3b4c5d6sm9",
        "Error: authentication failed: UGFzc3dvcmQ6",
        "Authentication failed for apikey",
        "",
    ],
)
def test_other_replies_stay_as_they_are(name: str, text: str) -> None:
    """They say what is wrong; a name is none of what must not be told."""
    reply = Reply(535, "5.7.8", text)
    assert discreet(reply, by(name)) == reply


def test_no_part_of_a_random_password_is_kept() -> None:
    """Whatever was sent, and wherever a server cuts it."""
    chance = random.Random(4711)  # noqa: S311 the same ones each time
    for _ in range(200):
        password = "".join(chr(chance.randint(33, 126)) for _ in range(chance.randint(1, 60)))
        mechanism = by("PLAIN", password=password)
        quoted = mechanism.encoded[0]
        start = chance.randint(0, max(0, len(quoted) - 8))
        assert discreet(Reply(501, "", f"what is {quoted[start:]}?"), mechanism).text != f"what is {quoted[start:]}?"
        assert discreet(Reply(501, "", f"what is {password}?"), mechanism).text != f"what is {password}?"
