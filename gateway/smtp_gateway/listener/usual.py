"""The commands of nearly every transaction, read without aiosmtpd's detour: MAIL with SIZE and BODY, RCPT without parameters.

Only what would succeed is recognised, by the same functions that aiosmtpd's way uses (`smtp_gateway.mail.path`); whatever is unusual,
refused or wrong is None here and goes that way, which stays the authority for every other reply. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from smtp_gateway.mail import path

_MAIL = b"MAIL FROM:"
_RCPT = b"RCPT TO:"
_BODIES = (None, "7BIT", "8BITMIME")


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL, as it was given."""

    address: str
    """Empty for the null path."""
    options: tuple[str, ...]
    """The parameters in upper case."""


def mail(line: bytes, limit: int) -> Mail | None:
    """Return the MAIL command that *line* is, CRLF included, if its message may have at most *limit* octets."""
    found = _path(line, _MAIL)
    if found is None:
        return None
    options = tuple(found.parameters.upper().split())
    parameters = path.parse_parameters(options)
    if parameters is None or parameters.pop("BODY", None) not in _BODIES:
        return None
    size = parameters.pop("SIZE", "0")
    if parameters or not isinstance(size, str) or not size.isdigit() or int(size) > limit:
        return None
    return Mail(found.address, options)


def rcpt(line: bytes) -> str | None:
    """Return the mailbox that the RCPT command in *line*, CRLF included, names."""
    found = _path(line, _RCPT)
    return found.address if found is not None and not found.parameters and "@" in found.address else None


def _path(line: bytes, command: bytes) -> path.Path | None:
    if line[: len(command)].upper() != command or not line.isascii():
        return None
    return path.parse_path(line[len(command) : -2].decode("ascii"))
