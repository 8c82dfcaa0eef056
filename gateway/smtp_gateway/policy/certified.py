"""The logins whose password is a certificate, and whose one that was shown is.

TLS has verified the certificate already (`smtp_gateway.tls`); here its names are looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.policy.auth import Identity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smtp_gateway.config.model import ClientCertificates


class Certified:
    """The names in force; `reconfigure` replaces them all at once."""

    def __init__(self, clients: ClientCertificates | None = None) -> None:
        """Know the logins of *clients*."""
        self._known: dict[str, Identity] = {}
        self.reconfigure(clients)

    def reconfigure(self, clients: ClientCertificates | None) -> None:
        """Know those instead; sessions that authenticated already are not asked again."""
        self._known = {_comparable(each.name): Identity(each.name, each.identity) for each in (clients.logins if clients else ())}

    def whose(self, names: Iterable[str], wanted: str) -> Identity | None:
        """Return who a client is whose certificate bears *names* and that wants to be *wanted*; the first that is known when that is empty.

        None when it is nobody, or somebody else than it wants to be.
        """
        shown = [_comparable(name) for name in names]
        claimed = [name for name in shown if not wanted or name == _comparable(wanted)]
        return next((self._known[name] for name in claimed if name in self._known), None)


def _comparable(name: str) -> str:
    """Return *name* as it is compared: DNS names in any case (RFC 4343), mail addresses and URIs as they stand."""
    return name if "@" in name or ":" in name else name.lower()
