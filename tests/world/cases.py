"""Mail whose fate is in a table: all of it is handed in at once, because some takes the gateway half a minute."""

from __future__ import annotations

from dataclasses import dataclass

from tests.world.exchangers import CERTIFICATES
from tests.world.scenery import BACKUP, POLICIES, SIGNED, address_of

_BACKUP = f"backup.mx.example[{BACKUP}]:25"


@dataclass(frozen=True, slots=True)
class Case:
    """A recipient, and what the first attempt comes to."""

    recipient: str
    event: str
    said: str
    """What the log says of it: the next hop, or a part of the reply."""

    def __str__(self) -> str:
        """Name the test."""
        return self.recipient.partition("@")[2]


ROUTING = (
    Case("a@preferred.example", "delivered", f"valid.mx.example[{address_of('valid')}]:25"),
    Case("a@alias.example", "delivered", f"valid.mx.example[{address_of('valid')}]:25"),
    Case("a@aliased.example", "delivered", f"alias.mx.example[{BACKUP}]:25"),
    Case("a@implicit.example", "delivered", f"implicit.example[{BACKUP}]:25"),
    Case("a@both.example", "delivered", f"both.mx.example[{BACKUP}]:25"),
    Case(f"a@[{BACKUP}]", "delivered", f"{BACKUP}[{BACKUP}]:25"),
    Case("a@many.example", "delivered", _BACKUP),
    Case("a@mail.signed", "delivered", f"mx.signed[{SIGNED}]:25"),
    Case("a@failover.example", "delivered", f"backup.mx.example[{BACKUP}]:25"),
    Case("a@dropped.example", "delivered", _BACKUP),
    Case("a@rejected.example", "delivered", _BACKUP),
    Case("a@blocked.example", "deferred", "451 4.4.1 Connection timed out after 30 s"),
    Case("a@prohibited.example", "deferred", "451 4.4.1 Connection failed: "),
    Case("a@homeless.example", "deferred", "451 4.4.4 Looking up the next hop failed: nowhere.mx.example. does not exist"),
    Case("a@mail.bogus", "deferred", "451 4.4.3 Looking up the recipient's domain failed"),
    Case("a@any.failing", "deferred", "451 4.4.3 Looking up the recipient's domain failed"),
    Case("a@any.mute", "deferred", "451 4.4.3 Looking up the recipient's domain failed"),
    Case("a@null.example", "bounced", "556 5.1.10"),
    Case("a@none-such.example", "bounced", "550 5.1.2 The recipient's domain does not exist"),
    Case("a@ours.example", "bounced", "550 5.4.6"),
)

IN_THE_CLEAR, ENCRYPTED, VERIFIED = "in the clear", "encrypted", "verified"
NOT_OFFERED = "451 4.7.4 TLS is required and the next hop does not offer STARTTLS"
CAUSES = {
    "expired": "certificate has expired",
    "other": "Hostname mismatch",
    "self": "self-signed certificate",
}


def expected(policy: str, kind: str) -> str:
    """Return how the mail travels under *policy* to an exchanger with a certificate of *kind*, or why it does not."""
    if kind == "clear":
        return NOT_OFFERED if policy in {"req", "ver"} else IN_THE_CLEAR
    if policy == "none":
        return IN_THE_CLEAR
    if policy != "ver":
        return ENCRYPTED
    return CAUSES.get(kind, VERIFIED)


ENCRYPTION = tuple(
    (f"a@{kind}.{via}{policy}.example", kind, expected(policy, kind))
    for via in ("", "relay-")
    for policy in POLICIES
    for kind in CERTIFICATES
)
"""Recipients whose mail goes to mail exchangers, or to smarthosts, under each policy."""
ALL = (*(case.recipient for case in ROUTING), *(recipient for recipient, _, _ in ENCRYPTION))
