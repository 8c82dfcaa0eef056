"""aiosmtpd's handler: one hook for each verb, and in it one question to policy or intake.

aiosmtpd finds the hooks by their names and calls them after it has checked order, syntax, TLS and login.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.listener.replies import OK, RECIPIENT_OK, SENDER_OK, extensions
from smtp_gateway.policy import checks

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

    from smtp_gateway.intake import Intake
    from smtp_gateway.listener.connection import Connection
    from smtp_gateway.listener.transactions import Transactions

NULL_PATH = "<>"
"""The null reverse-path as aiosmtpd keeps it: an empty `mail_from` means to it that there was no MAIL."""

# The hooks' names and parameters are aiosmtpd's.
# ruff: noqa: N802 the names are aiosmtpd's
# ruff: noqa: ARG002 so are parameters that a hook does not need


class Hooks:
    """The hooks of all sessions."""

    def __init__(self, intake: Intake) -> None:
        """Ask *intake*."""
        self._intake = intake

    async def handle_HELO(self, server: SMTP, session: Session, envelope: Envelope, hostname: str) -> str:
        """Greet."""
        session.host_name = hostname
        return f"250 {server.hostname}"

    async def handle_EHLO(
        self, server: Transactions, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Greet, and announce what aiosmtpd announces and our own."""
        session.host_name = hostname
        announced = extensions(self._intake.config.limits.recipients, encrypted=server.encrypted)
        ours = [f"250-{extension}" for extension in announced]
        return [responses[0], *ours, *responses[1:]]

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        """Begin a transaction, or refuse its sender."""
        given = "" if address == NULL_PATH else address
        refused = self._intake.unwilling() or checks.sender(given, smtputf8=envelope.smtp_utf8)
        if refused is None:
            refused = self._intake.rules.sender(getattr(session.auth_data, "identity", None), given)
        if refused is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return str(refused or SENDER_OK)

    async def handle_RCPT(self, server: Connection, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        """Add a recipient, or refuse it."""
        given = "" if address == NULL_PATH else address if "@" in address else f"{address}@{server.hostname}"
        limit = self._intake.config.limits.recipients
        refused = checks.recipient(given, len(envelope.rcpt_tos), limit, smtputf8=envelope.smtp_utf8) or server.out_of_bounds(given)
        if refused is None:
            envelope.rcpt_tos.append(given)
        return str(refused or RECIPIENT_OK)

    async def handle_RSET(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Confirm: aiosmtpd has forgotten the transaction."""
        return str(OK)

    async def handle_NOOP(self, server: SMTP, session: Session, envelope: Envelope, argument: str) -> str:
        """Confirm."""
        return str(OK)
