"""As whom a login may send: its `allowedSenders`, for the envelope's sender and for the authors that the message names.

The envelope's sender is judged at MAIL (RFC 6409 section 6.1 gives the code, 550 5.7.1), From and Sender at the end of the message. Every
address of both fields must be allowed: recipients are shown From, and a Sender says who sent it in its author's name (RFC 5322 section
3.6.2), which is this login. So a permitted Sender does not excuse another's From, and RFC 6409 section 8.1, by which a server may add a
Sender where the author is another, is no way around the rule. The null sender is allowed: it claims to be nobody, notices of mail
clients need it (RFC 8098 section 3), and the message's authors are judged all the same.

Patterns are taken apart once a configuration; one address costs a look-up for each label of its domain. Case does not count, in local
parts either: no domain gives `Billing` and `billing` to different people (Postfix's `smtpd_sender_login_maps` folds both too). Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from smtp_gateway.mail.address import normalise_domain
from smtp_gateway.mail.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from smtp_gateway.config.model import Senders

SENDER_NOT_ALLOWED = Reply(550, "5.7.1", "Sender address is not allowed for this login")
AUTHOR_NOT_ALLOWED = Reply(550, "5.7.1", "From or Sender header has an address that is not allowed for this login")
AUTHOR_UNCLEAR = Reply(550, "5.7.1", "Message needs one From header that can be read to be sent with this login")

_ANY = "*"
_BENEATH = "*."
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


class AllowedSenders:
    """The patterns of one source of logins: addresses, `*@domain`, `*@*.domain` for every domain beneath it."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Allow what *patterns* mean."""
        addresses, domains, beneath = set(), set(), set()
        for pattern in patterns:
            local, _, domain = pattern.rpartition("@")
            if local != _ANY:
                addresses.add(_folded(local, domain))
            elif domain.startswith(_BENEATH):
                beneath.add(normalise_domain(domain.removeprefix(_BENEATH)))
            else:
                domains.add(normalise_domain(domain))
        self._addresses, self._domains, self._beneath = frozenset(addresses), frozenset(domains), frozenset(beneath)

    def allow(self, address: str) -> bool:
        """Tell whether *address* is allowed; what has no domain is not."""
        local, at, domain = address.rpartition("@")
        if not at:
            return False
        whole = normalise_domain(domain)
        if whole in self._domains or _folded(local, domain) in self._addresses:
            return True
        return self._beneath != frozenset() and any(parent in self._beneath for parent in _parents(whole))


class SenderRules:
    """The rules of one configuration, by identity. An identity without a rule may send as anybody."""

    def __init__(self, senders: Sequence[Senders]) -> None:
        """Follow *senders*."""
        self._by_identity = {each.identity: AllowedSenders(each.allowed) for each in senders}

    def bind(self, identity: str | None) -> bool:
        """Tell whether *identity* may not send as anybody."""
        return identity in self._by_identity

    def sender(self, identity: str | None, address: str) -> Reply | None:
        """Refuse *address* as the sender of a transaction of *identity*; the null sender is allowed."""
        allowed = self._by_identity.get(identity) if identity is not None else None
        return None if allowed is None or not address or allowed.allow(address) else SENDER_NOT_ALLOWED

    def authors(self, identity: str | None, named: Sequence[str] | None) -> Reply | None:
        """Refuse a message of *identity* whose header names the addresses *named*; None for a header that cannot be read."""
        allowed = self._by_identity.get(identity) if identity is not None else None
        if allowed is None:
            return None
        if not named:
            return AUTHOR_UNCLEAR
        return None if all(allowed.allow(address) for address in named) else AUTHOR_NOT_ALLOWED


def _folded(local: str, domain: str) -> str:
    """Return an address in the one form that comparisons use: no case, and no quotes that its local part does not need."""
    plain = _QUOTED_PAIR.sub(r"\1", local[1:-1]) if local.startswith('"') else local
    return f"{plain.lower()}@{normalise_domain(domain)}"


def _parents(domain: str) -> Iterable[str]:
    """Return the domains above *domain*, the nearest first."""
    while "." in domain:
        domain = domain.partition(".")[2]
        yield domain
