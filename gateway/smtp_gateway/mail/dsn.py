"""What a client asks to be told about a message: the parameters of the DSN extension (RFC 3461), read, kept and written again.

Strict, because they are written to a next hop and into notices as they were given: xtext that decodes to printable ASCII and nothing
else (section 4), so that no value can end a line, a command or a header field. Who asks for nothing has `NO_DSN`, by identity, so that
nothing need be stored or written for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.mail.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVID_LIMIT = 100
"""Octets of an ENVID as it is sent (RFC 3461 section 4.4)."""
ORCPT_LIMIT = 500
"""Octets of an ORCPT as it is sent (RFC 3461 section 4.2)."""
FULL, HEADERS = "FULL", "HDRS"
NEVER, SUCCESS, FAILURE, DELAY = "NEVER", "SUCCESS", "FAILURE", "DELAY"
_EVENTS = (SUCCESS, FAILURE, DELAY)
"""In the order in which they are written again."""

INVALID_RET = Reply(501, "5.5.4", "RET must be FULL or HDRS")
INVALID_ENVID = Reply(501, "5.5.4", f"ENVID must be xtext of printable ASCII, {ENVID_LIMIT} octets at most")
INVALID_NOTIFY = Reply(501, "5.5.4", "NOTIFY must be NEVER, or SUCCESS, FAILURE and DELAY separated by commas")
INVALID_ORCPT = Reply(501, "5.5.4", f"ORCPT must be a type, a semicolon and xtext of printable ASCII, {ORCPT_LIMIT} octets at most")

# Printable ASCII but "+" and "=", or "+" and two hexadecimal digits in upper case that stand for printable ASCII (RFC 3461 section 4).
_XTEXT = r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+(?:[2-6][0-9A-F]|7[0-9A-E]))+"
_ENVID = re.compile(_XTEXT)
# The type is an atom, `rfc822` nearly always.
_ORCPT = re.compile(rf"[A-Za-z0-9!#$%&'*/?^_`{{|}}~\-]+;{_XTEXT}")
_ENCODED = re.compile(r"\+([0-9A-F]{2})")


class InvalidParameterError(Exception):
    """A parameter has a value that it cannot have; `reply` says which, and what it may be."""

    def __init__(self, reply: Reply) -> None:
        """Answer *reply*."""
        super().__init__(str(reply))
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Asked:
    """What RCPT asked about its recipient."""

    notify: str = ""
    """`NEVER`, or some of `SUCCESS,FAILURE,DELAY` in this order; empty when the client left it to the gateway."""
    orcpt: str = ""
    """The address that the client's client knew, as it was given: type, semicolon, xtext. Empty when there was none."""

    @property
    def failure(self) -> bool:
        """Whether the sender wants to be told when the recipient fails: unless it asked for something else (RFC 3461 section 4.1)."""
        return not self.notify or FAILURE in self.notify.split(",")

    @property
    def success(self) -> bool:
        """Whether the sender wants to be told when the recipient's mail has arrived: only if it asked for that (RFC 3461 section 4.1)."""
        return SUCCESS in self.notify.split(",")

    @property
    def delay(self) -> bool | None:
        """Whether the sender wants to be told when the mail is late; None when it left that to the gateway (RFC 3461 section 5.2.5)."""
        return DELAY in self.notify.split(",") if self.notify else None

    @property
    def parameters(self) -> str:
        """What stands behind the path of RCPT, each with a blank before it."""
        return f"{f' NOTIFY={self.notify}' if self.notify else ''}{f' ORCPT={self.orcpt}' if self.orcpt else ''}"


NOTHING = Asked()


@dataclass(frozen=True, slots=True)
class Dsn:
    """What MAIL and RCPT asked about one message."""

    ret: str
    """How much of the message a notice of failure returns: `FULL` or `HDRS`; empty when the client left it to the gateway."""
    envid: str
    """The client's own name of the message, as it was given, in xtext; empty when there was none."""
    recipients: Mapping[str, Asked]
    """By address, for those about whom something was asked."""

    def about(self, address: str) -> Asked:
        """Return what was asked about *address*."""
        return self.recipients.get(address, NOTHING)

    @property
    def parameters(self) -> str:
        """What stands behind the path of MAIL, each with a blank before it."""
        return f"{f' RET={self.ret}' if self.ret else ''}{f' ENVID={self.envid}' if self.envid else ''}"


NO_DSN = Dsn("", "", {})
"""For all who ask for nothing."""


def ret(value: str) -> str:
    """Read the value of RET (RFC 3461 section 4.3). Raises `InvalidParameterError`."""
    given = value.upper()
    if given not in {FULL, HEADERS}:
        raise InvalidParameterError(INVALID_RET)
    return given


def envid(value: str) -> str:
    """Read the value of ENVID (RFC 3461 section 4.4). Raises `InvalidParameterError`."""
    if len(value) > ENVID_LIMIT or not _ENVID.fullmatch(value):
        raise InvalidParameterError(INVALID_ENVID)
    return value


def notify(value: str) -> str:
    """Read the value of NOTIFY (RFC 3461 section 4.1): NEVER stands alone. Raises `InvalidParameterError`."""
    given = value.upper().split(",")
    if given != [NEVER] and not set(given) <= set(_EVENTS):
        raise InvalidParameterError(INVALID_NOTIFY)
    return ",".join(event for event in (NEVER, *_EVENTS) if event in given)


def orcpt(value: str) -> str:
    """Read the value of ORCPT (RFC 3461 section 4.2). Raises `InvalidParameterError`."""
    if len(value) > ORCPT_LIMIT or not _ORCPT.fullmatch(value):
        raise InvalidParameterError(INVALID_ORCPT)
    return value


def decoded(xtext: str) -> str:
    """Return what *xtext* stands for: printable ASCII."""
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), xtext)
