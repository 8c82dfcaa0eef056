"""MAIL and RCPT where they are not as usual: aiosmtpd reads them, with these differences.

- `_getaddr` and `_getparams` are `smtp_gateway.mail.path`: aiosmtpd parses paths like header fields, comments and folding included.
- The parameters of DSN (RFC 3461) are read from the line as it came: aiosmtpd, which knows none of them, hands on capitals alone, and
  ENVID and ORCPT tell case apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiosmtpd.smtp import syntax

from smtp_gateway.listener import replies
from smtp_gateway.listener.conversation import Conversation
from smtp_gateway.listener.hooks import NULL_PATH
from smtp_gateway.listener.replies import REQUIRETLS
from smtp_gateway.mail import dsn, path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.listener.connection import Front

_ASKED_OF = {"MAIL": {"RET": dsn.ret, "ENVID": dsn.envid}, "RCPT": {"NOTIFY": dsn.notify, "ORCPT": dsn.orcpt}}
"""The parameters of DSN at each command, and what reads their values."""

# The names of the methods that aiosmtpd calls are its own.
# ruff: noqa: N802 see above


class Transactions(Conversation):
    """The commands that begin a transaction and name its recipients, one at a time."""

    def __init__(self, front: Front) -> None:
        """Begin with the greeting."""
        super().__init__(front)
        self._written = ""
        """The parameters behind the last path, as they came."""
        self._asking: dict[str, str] = {}
        """What they ask, by keyword."""

    @property
    def encrypted(self) -> bool:
        """Whether TLS is in use."""
        return self._tls_version is not None

    @syntax("MAIL FROM: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_MAIL(self, arg: str | None) -> None:
        """Begin a transaction (RFC 5321 section 4.1.1.2), and note what it asks."""
        self._asking = {}
        before = self.envelope.mail_from
        try:
            await super().smtp_MAIL(arg)
        except dsn.InvalidParameterError as fault:
            await self.push(str(fault.reply))
        if self._asking and self.envelope.mail_from and not before:
            self.envelope.ask(self._asking.get("RET", ""), self._asking.get("ENVID", ""))

    @syntax("RCPT TO: <address>", extended=" [SP <mail-parameters>]")
    async def smtp_RCPT(self, arg: str | None) -> None:
        """Add a recipient (RFC 5321 section 4.1.1.3), and note what is asked about it."""
        if self._chunks is not None:
            # A part of the message may be on its way to the spool already, with those whom it is for.
            await self.push(str(replies.IN_CHUNKS))
            return
        self._asking = {}
        recipients = self.envelope.rcpt_tos
        before = len(recipients)
        try:
            await super().smtp_RCPT(arg)
        except dsn.InvalidParameterError as fault:
            await self.push(str(fault.reply))
        if self._asking and len(recipients) > before:
            self.envelope.ask_about(recipients[-1], dsn.Asked(self._asking.get("NOTIFY", ""), self._asking.get("ORCPT", "")))

    # ---- what aiosmtpd asks while it reads them

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        found = path.parse_path(arg)
        if found is None:
            return None, None
        self._written = found.parameters
        return found.address or NULL_PATH, found.parameters

    def _getparams(self, params: Sequence[str]) -> dict[str, str | bool] | None:
        """Return the parameters that aiosmtpd is to judge. Raises `smtp_gateway.mail.dsn.InvalidParameterError`."""
        found = path.parse_parameters(params)
        if found is not None and self._verb == "MAIL":
            # Nobody is trusted to say who someone else is: as if it were AUTH=<> (RFC 4954 section 5).
            found.pop("AUTH", None)
            # Kept among the options of MAIL; in the clear it is not announced, and refused (RFC 8689 section 4.1).
            if found.get(REQUIRETLS) is True and self.encrypted:
                del found[REQUIRETLS]
        readers = _ASKED_OF.get(self._verb, {})
        asked = found.keys() & readers.keys() if found else ()
        if found and asked:
            written = path.parse_parameters(self._written.split()) or {}
            values = {word.upper(): value for word, value in written.items() if isinstance(value, str)}
            self._asking = {keyword: readers[keyword](values.get(keyword, "")) for keyword in sorted(asked)}
            return {keyword: value for keyword, value in found.items() if keyword not in asked}
        return found
