"""AUTH at a next hop (RFC 4954): which mechanism, and what is said for it.

Three rules of this file: nothing is said in the clear, whatever happened to TLS before; nothing is said that the next hop has not asked
for; and what was said is in no exception, log line or reply that is kept. Which mechanism it is depends on what is offered and on nothing
that was tried before. A refusal is for the operator of the system to mend, so to the mail it is temporary, whatever its code.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from smtp_gateway.delivery.faults import (
    CredentialsRefusedError,
    ForeignProtocolError,
    NoMechanismError,
    NotEncryptedError,
    SessionError,
)
from smtp_gateway.delivery.oauth2 import object_in, sentence
from smtp_gateway.mail.outcome import Phase, judge

if TYPE_CHECKING:
    from smtp_gateway.config.model import PasswordCredentials
    from smtp_gateway.delivery.session import Session
    from smtp_gateway.mail.reply import Reply

COMMAND_LENGTH = 512
"""Octets of a command with its CRLF (RFC 5321 section 4.5.3.1.4). An initial response that does not fit waits for the challenge (RFC 4954
section 4); on a line of its own it may have 12,288, which credentials keep within (`smtp_gateway.config.model.CREDENTIAL_LENGTH`)."""
_TOLD = 3
"""Facts of a challenge that are told: it has `status`, `schemes` and `scope`, or what RFC 7628 section 3.2.2 calls them."""
_SUCCEEDED = 235
_CHALLENGE = 334
_CANCEL = "*"
_TELLING = 8
"""Characters in a row of what was said that a reply may not repeat: six octets in base64. Fewer are a coincidence more often than a secret."""
_WITHHELD = "(the text is withheld: it repeats what was sent)"


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A SASL mechanism with everything that will be said for it."""

    name: str
    responses: tuple[bytes, ...] = field(repr=False)
    """To each challenge in turn."""
    secret: str = field(repr=False)
    """What of them nobody else may learn."""
    client_first: bool = True
    """Whether the first response needs no challenge, so that it may go with the command (RFC 4422 section 3)."""
    acknowledgement: str | None = None
    """What is sent, as it is, when a challenge comes behind all responses, in which a server says why it refuses; None: there is none."""

    @property
    def encoded(self) -> tuple[str, ...]:
        """The responses as they are sent."""
        return tuple(base64.b64encode(response).decode("ascii") for response in self.responses)

    @property
    def lines(self) -> tuple[str, ...]:
        """What is sent, one line for each reply, beginning with the command."""
        command, encoded = f"AUTH {self.name}", self.encoded
        at_once = f"{command} {encoded[0] or '='}"
        fits = len(at_once) + len("\r\n") <= COMMAND_LENGTH
        return (at_once, *encoded[1:]) if self.client_first and fits else (command, *encoded)


def offered(reply: Reply) -> frozenset[str]:
    """Return the mechanisms that a reply to EHLO offers, in upper case (RFC 4954 section 3); none when it does not know AUTH."""
    words = (line.upper().split() for line in reply.text.splitlines()[1:])
    return frozenset(name for keyword, *names in filter(None, words) if keyword == "AUTH" for name in names)


def chosen(known: tuple[Mechanism, ...], mechanisms: frozenset[str]) -> Mechanism:
    """Return the first of *known*, the best of which come first, that is among *mechanisms*. Raises `NoMechanismError`."""
    for one in known:
        if one.name in mechanisms:
            return one
    offer = f"AUTH {' '.join(sorted(mechanisms))} alone" if mechanisms else "no AUTH"
    message = f"The next hop offers {offer} under TLS; the credentials are for {' or '.join(one.name for one in known)}"
    raise NoMechanismError(message)


def by_password(credentials: PasswordCredentials) -> tuple[Mechanism, ...]:
    """Return all ways to tell *credentials*, the best first: LOGIN is not a standard and takes a round trip more than PLAIN (RFC 4616)."""
    secret = credentials.password.get_secret_value()
    username, password = credentials.username.get_secret_value().encode(), secret.encode()
    plain = Mechanism("PLAIN", (b"\0%b\0%b" % (username, password),), secret)
    return plain, Mechanism("LOGIN", (username, password), secret, client_first=False)


EXTERNAL = Mechanism("EXTERNAL", (b"",), "")
"""By the client certificate that was shown in the handshake, and as whom that says (RFC 4422 appendix A)."""


async def authenticate(session: Session, known: tuple[Mechanism, ...], patience: float) -> None:
    """Authenticate in *session* by the best of *known* that it offers, waiting *patience* seconds for each reply.

    Raises `CredentialsRefusedError` with what the next hop said, and `SessionError` where it did not come to that.
    """
    if session.encryption is None:
        message = "The credentials are sent under TLS only, and there is none"
        raise NotEncryptedError(message)
    mechanism = chosen(known, session.mechanisms)
    try:
        reply = await _said(session, mechanism, patience)
    except SessionError as fault:
        if _tells(str(fault), mechanism):
            message = "The next hop does not speak SMTP: it repeats what it is sent"
            raise ForeignProtocolError(message) from None
        raise
    if reply.negative:
        raise CredentialsRefusedError(judge(Phase.AUTH, discreet(reply, mechanism), str(session.hop)))
    if reply.code != _SUCCEEDED:
        message = f"The next hop answered AUTH with {reply.code}"
        raise ForeignProtocolError(message)


async def _said(session: Session, mechanism: Mechanism, patience: float) -> Reply:
    """Say what is asked for, and return the first reply that asks for nothing. Raises `SessionError`."""
    for line in mechanism.lines:
        reply = await session.connection.exchange(line, patience)
        if reply.code != _CHALLENGE:
            return reply
    if mechanism.acknowledgement is not None:
        return explained(await session.connection.exchange(mechanism.acknowledgement, patience), reply.text, mechanism)
    await session.connection.exchange(_CANCEL, patience)
    message = f"The next hop asked for more than AUTH {mechanism.name} has to say"
    raise ForeignProtocolError(message)


def explained(reply: Reply, challenge: str, mechanism: Mechanism) -> Reply:
    """Return *reply* with what the *challenge* before it says, base64 of a JSON object; what *mechanism* keeps secret is masked."""
    try:
        told = object_in(base64.b64decode(challenge, validate=True))
    except ValueError:
        told = {}
    facts = [f"{name}={value}" for name, value in list(told.items())[:_TOLD] if isinstance(value, str | int)]
    return replace(reply, text=f"{reply.text} ({sentence(', '.join(facts), [mechanism.secret])})") if facts else reply


def discreet(reply: Reply, mechanism: Mechanism) -> Reply:
    """Return *reply* without its text where that repeats what was said: servers quote commands that they do not understand."""
    return replace(reply, text=_WITHHELD) if _tells(reply.text, mechanism) else reply


def _tells(text: str, mechanism: Mechanism) -> bool:
    """Tell whether *text* repeats what was said by *mechanism*."""
    return any(_repeats(_pressed(text), _pressed(said)) for said in (*mechanism.encoded, mechanism.secret))


def _pressed(text: str) -> str:
    """Return *text* without what servers change when they quote: line ends, spaces, and case."""
    return "".join(text.split()).casefold()


def _repeats(text: str, said: str) -> bool:
    """Tell whether *text* has enough of *said* in it to give it away."""
    size = min(len(said), _TELLING)
    return size > 0 and any(said[start : start + size] in text for start in range(len(said) - size + 1))
