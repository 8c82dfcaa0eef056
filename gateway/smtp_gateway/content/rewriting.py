"""Who a message is from, rewritten: for next hops that take mail from senders of their own choice alone.

The envelope's sender and the header say the same afterwards, because a next hop that checks one checks the other. In the header that is
From and Sender: their addresses are put in the place of the old ones, and names, comments, groups and folding stay. Resent fields, Reply-To
and trace fields are somebody else's word, and stay too. The null sender stays null: a bounce of a bounce must have nowhere to go (RFC 5321
section 4.5.5).

What is written comes from the configuration, from an address that was read by the grammar (`smtp_gateway.content.authors`), or is the
message's own field: nothing in it can end a line. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smtp_gateway.content.authors import ORIGINATOR, readdressed

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 8
"""Fields of a message that are rewritten: two are all that RFC 5322 section 3.6 allows, and each costs time in the event loop."""
_REPLY_TO = re.compile(rb"^reply-to[ \t]*+:", re.IGNORECASE | re.MULTILINE)
_ANY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """What some senders become."""

    means: Callable[[str], bool] | None
    """Tells whether an address is one of them; None for everybody."""
    address: str
    """An address, or `*@domain`, which keeps the local part."""

    def applied(self, address: str) -> str:
        """Return what *address* becomes; one without a domain, which `postmaster` may be, gets one."""
        local, _, domain = self.address.rpartition("@")
        return f"{address.rpartition('@')[0] or address}@{domain}" if local == _ANY else self.address


@dataclass(frozen=True, slots=True)
class Rewriting:
    """The rules of one route; the first that means an address counts, and what none means stays."""

    rules: tuple[Rule, ...]
    original_header: str | None = None
    """The field that keeps a From that was changed."""
    reply_to: bool = False
    """Whether a From that was changed becomes Reply-To, where there is none."""

    def sender(self, address: str) -> str:
        """Return what the envelope's sender *address* becomes."""
        return self._changed(address) if address else address

    def section(self, section: bytes) -> bytes:
        """Return the header *section*, lines with CRLF in wire form, as the rules want it."""
        may_reply = self.reply_to and _REPLY_TO.search(section) is None
        return ORIGINATOR.sub(lambda found: self._field(found, may_reply=may_reply), section, MOST)

    def _changed(self, address: str) -> str:
        rule = next((rule for rule in self.rules if rule.means is None or rule.means(address)), None)
        return address if rule is None else rule.applied(address)

    def _field(self, found: re.Match[bytes], *, may_reply: bool) -> bytes:
        """Return one field as it is to be, and behind a From that was changed what keeps it."""
        value = found["value"]
        readable = readdressed(value, self._changed)
        other = self._instead() if readable is None else readable
        if other is None or other == value:
            return found[0]
        lines = found[0].removesuffix(value + b"\r\n") + other + b"\r\n"
        if found["name"].lower() != b"from":
            return lines
        if self.original_header is not None:
            lines += self.original_header.encode("ascii") + b":" + value + b"\r\n"
        if may_reply and readable is not None:
            lines += b"Reply-To:" + value + b"\r\n"
        return lines

    def _instead(self) -> bytes | None:
        """Return what stands for a field that cannot be read: the one address that all senders become, if there is one."""
        rule = self.rules[-1]
        whole = rule.means is None and not rule.address.startswith(_ANY + "@")
        return f" {rule.address}".encode("ascii") if whole else None
