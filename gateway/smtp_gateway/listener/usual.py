"""The commands of nearly every session in their canonical spelling, read without aiosmtpd's detour.

A strict subset of what the slow way takes: mailboxes of plain ASCII atoms, known parameters once each, one space, CRLF. Everything else,
right or wrong, is None here and goes the slow way (`smtp_gateway.listener.session`), which stays the authority. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from smtp_gateway.mail import path

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?"
_MAILBOX = rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*"
_PARAMETERS = r"(?: (?:SIZE=\d{1,15}|BODY=(?:7BIT|8BITMIME)|SMTPUTF8)){0,3}"
_NAME = r"[A-Za-z0-9._:\-\[\]]{1,255}"
_COMMAND = re.compile(
    (
        rf"(?:(?P<MAIL>MAIL FROM: ?<(?P<sender>{_MAILBOX}|)>(?P<parameters>{_PARAMETERS}))"
        rf"|(?P<RCPT>RCPT TO: ?<(?P<recipient>{_MAILBOX})>)"
        r"|(?P<DATA>DATA)|(?P<RSET>RSET)|(?P<NOOP>NOOP)|(?P<QUIT>QUIT)"
        rf"|(?P<EHLO>EHLO (?P<extended>{_NAME}))|(?P<HELO>HELO (?P<plain>{_NAME})))\r\n"
    ).encode(),
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What may stand behind the path of MAIL."""

    options: tuple[str, ...] = ()
    """The parameters in upper case."""
    size: int = 0
    """Octets that the client announces (RFC 1870); 0 when it does not."""
    smtputf8: bool = False
    """RFC 6531."""


NO_PARAMETERS = Parameters()


def command(octets: bytes, position: int) -> re.Match[bytes] | None:
    """Return the canonical command at *position*, CRLF included; None when what stands there is none, or not yet whole.

    `lastgroup` is its verb.
    """
    return _COMMAND.match(octets, position)


def mailbox(found: re.Match[bytes], name: str) -> str | None:
    """Return the address in group *name*, empty for the null path; None when it is long enough to be looked at the slow way."""
    address = found[name]
    return address.decode("ascii") if len(address) <= path.DOMAIN_LIMIT else None


def parameters(found: re.Match[bytes]) -> Parameters | None:
    """Return the parameters of MAIL; None when one is given twice."""
    text = found["parameters"]
    if not text:
        return NO_PARAMETERS
    options = tuple(text.decode("ascii").upper().split())
    given = path.parse_parameters(options)
    if given is None:
        return None
    return Parameters(options, int(given.get("SIZE", 0)), "SMTPUTF8" in given)
