"""A small model of RFC 5321 as the listener speaks it: what each command is answered, and what it changes.

Written from the RFCs and the documentation, not from the listener: no name of it is used here. It knows a session behind the greeting,
and of a message what was sent of it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field, replace

RECIPIENTS, SIZE = 3, 4000
"""The limits in force."""
UNKNOWN, FAULTS = 5, 10
"""Unknown commands and malformed lines after which a session ends."""
PLAIN = b64encode(b"\0app\0secret")
"""The initial response of AUTH PLAIN for `app` and `secret` (RFC 4616)."""


@dataclass(frozen=True)
class State:
    """What the server knows of its client."""

    tls: bool
    trusted: bool = False
    """Whether it may send without TLS and a login, by where it comes from."""
    greeted: bool = False
    extended: bool = True
    login: bool = False
    mail: bool = False
    recipients: tuple[str, ...] = ()
    chunks: bytes | None = None
    """What came by BDAT so far; None before the first."""
    unknown: int = 0
    faults: int = 0
    over: bool = False

    @property
    def fresh(self) -> State:
        """The same without a transaction."""
        return replace(self, mail=False, recipients=(), chunks=None)

    @property
    def encrypted(self) -> State:
        """The same behind a handshake: nothing that was said in the clear counts (RFC 3207 section 4.2)."""
        return replace(self.fresh, tls=True, greeted=False, extended=True, login=False)


@dataclass(frozen=True)
class Answered:
    """What one command comes to."""

    replies: tuple[str, ...]
    """Each as code and enhanced code; `250` alone where there is none, `354` for the go-ahead."""
    state: State
    octets: bytes
    """What the client sends."""
    message: bytes | None = None
    """In wire form, when the server took one."""


@dataclass(frozen=True)
class Command:
    """One thing that a client may say."""

    verb: str
    """EHLO, HELO, STARTTLS under TLS, AUTH, MAIL, RCPT, DATA, BDAT, RSET, NOOP, VRFY, HELP, QUIT, LINE for one that is no command."""
    argument: bytes = b""
    refusal: str = ""
    """What it is refused with when nothing else is wrong; empty when it may be done."""
    content: bytes = b""
    """Of DATA and BDAT, as its author wrote it."""
    last: bool = False
    early: bool = field(default=False, kw_only=True)
    """Whether that is found out before the order of commands is looked at."""


def answered(state: State, command: Command) -> Answered:
    """Return what *command* comes to in *state*."""
    octets = b"%s%s\r\n" % (command.verb.encode(), command.argument)
    if command.verb == "LINE":
        return _line(state, command)
    handlers = {"EHLO": _hello, "HELO": _hello, "AUTH": _auth, "MAIL": _mail, "RCPT": _rcpt, "DATA": _data, "BDAT": _bdat}
    if command.verb in handlers:
        return handlers[command.verb](state, command, octets)
    if command.verb == "RSET":
        return Answered((command.refusal or "250 2.0.0",), state if command.refusal else state.fresh, octets)
    if command.verb == "QUIT":
        return Answered((command.refusal or "221 2.0.0",), replace(state, over=not command.refusal), octets)
    known = {"STARTTLS": "503 5.5.1", "NOOP": "250 2.0.0", "VRFY": "252 2.0.0", "HELP": "214 2.0.0", "EXPN": "502 5.5.1"}
    return Answered((known[command.verb],), state, octets)


def _line(state: State, command: Command) -> Answered:
    if command.refusal == "unknown":
        state = replace(state, unknown=state.unknown + 1)
        last = state.unknown == UNKNOWN
        return Answered(("502 5.5.1" if last else "500 5.5.2",), replace(state, over=last), command.argument)
    state = replace(state, faults=state.faults + 1)
    last = state.faults == FAULTS
    return Answered(("421 4.7.0" if last else "500 5.5.2",), replace(state, over=last), command.argument)


def _hello(state: State, command: Command, octets: bytes) -> Answered:
    if command.refusal:
        return Answered((command.refusal,), state, octets)
    return Answered(("250",), replace(state.fresh, greeted=True, extended=command.verb == "EHLO"), octets)


def _auth(state: State, _command: Command, _octets: bytes) -> Answered:
    octets = b"AUTH PLAIN %s\r\n" % PLAIN
    if not state.greeted or state.mail:
        return Answered(("503 5.5.1",), state, octets)
    if not state.extended:
        return Answered(("500 5.5.2",), state, octets)
    if not state.tls:
        return Answered(("538 5.7.11",), state, octets)
    if state.login:
        return Answered(("503 5.5.1",), state, octets)
    return Answered(("235 2.7.0",), replace(state, login=True), octets)


def _unwelcome(state: State) -> str:
    """Return why no transaction may be, or go on."""
    return "503 5.5.1" if not state.greeted else "" if state.trusted or (state.tls and state.login) else "530 5.7.0"


def _mail(state: State, command: Command, octets: bytes) -> Answered:
    plain = b"> " not in command.argument
    refusal = (
        _unwelcome(state)
        or (command.refusal if command.early else "")
        or ("501 5.5.4" if not state.extended and not plain else "")
        or ("503 5.5.1" if state.mail else "")
        or command.refusal
    )
    return Answered((refusal or "250 2.1.0",), state if refusal else replace(state, mail=True), octets)


def _rcpt(state: State, command: Command, octets: bytes) -> Answered:
    plain = b"> " not in command.argument
    refusal = (
        _unwelcome(state)
        or ("503 5.5.1" if not state.mail or state.chunks is not None else "")
        or (command.refusal if command.early else "")
        or ("501 5.5.4" if not state.extended and not plain else "")
        or command.refusal
        or ("452 4.5.3" if len(state.recipients) >= RECIPIENTS else "")
    )
    if refusal:
        return Answered((refusal,), state, octets)
    address = command.argument[command.argument.index(b"<") + 1 : command.argument.index(b">")].decode()
    return Answered(("250 2.1.5",), replace(state, recipients=(*state.recipients, address)), octets)


def _data(state: State, command: Command, octets: bytes) -> Answered:
    refusal = _unwelcome(state) or command.refusal or ("503 5.5.1" if not state.recipients or state.chunks is not None else "")
    if refusal:
        return Answered((refusal,), state, octets)
    lines = command.content if command.content.endswith(b"\r\n") or not command.content else command.content + b"\r\n"
    return _concluded(state, lines, ("354",), octets + wire_form(lines))


def _bdat(state: State, command: Command, _octets: bytes) -> Answered:
    octets = b"BDAT %d%s\r\n%b" % (len(command.content), b" LAST" if command.last else b"", command.content)
    if command.refusal:
        return Answered((command.refusal,), replace(state, over=True), b"BDAT%s\r\n" % command.argument)
    refusal = _unwelcome(state) or ("" if state.recipients else "503 5.5.1")
    if refusal:
        return Answered((refusal,), state, octets)
    content = (state.chunks or b"") + command.content
    if command.last or fault(content.removesuffix(b"\r")):
        return _concluded(state, content, (), octets)
    return Answered(("250 2.0.0",), replace(state, chunks=content), octets)


def _concluded(state: State, content: bytes, before: tuple[str, ...], octets: bytes) -> Answered:
    refusal = fault(content)
    message = None if refusal else wire_form(content)
    return Answered((*before, refusal or "250 2.0.0"), state.fresh, octets, message)


def fault(content: bytes) -> str:
    """Return what a message is refused with: more than the limit, or a line end that is half of one."""
    if len(content) > SIZE:
        return "552 5.3.4"
    return "550 5.6.11" if re.search(rb"(?<!\r)\n|\r(?!\n)", content) else ""


def wire_form(content: bytes) -> bytes:
    """Return *content* as it goes to a next hop (RFC 5321 section 4.5.2)."""
    whole = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    return re.sub(rb"(^|\r\n)\.", rb"\1..", whole) + b".\r\n"
