"""What MAIL and RCPT said so far: aiosmtpd's envelope, and what the client asked to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiosmtpd.smtp import Envelope

from smtp_gateway.mail.dsn import NO_DSN, Dsn

if TYPE_CHECKING:
    from smtp_gateway.mail.dsn import Asked


class Said(Envelope):
    """One transaction, as far as it has come."""

    dsn: Dsn = NO_DSN
    """Of the class until something is asked, so that a transaction that asks for nothing pays for nothing."""
    _about: dict[str, Asked]

    def ask(self, ret: str, envid: str) -> None:
        """Take what MAIL asks."""
        self._about = {}
        self.dsn = Dsn(ret, envid, self._about)

    def ask_about(self, address: str, asked: Asked) -> None:
        """Take what RCPT asks about *address*; of a recipient that is named twice, what was asked first."""
        if self.dsn is NO_DSN:
            self.ask("", "")
        self._about.setdefault(address, asked)
