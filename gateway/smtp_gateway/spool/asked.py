"""What a client asked to be told about a message (`smtp_gateway.mail.dsn`), as the text of one column; empty for nearly every message."""

from __future__ import annotations

import json

from smtp_gateway.mail.dsn import NO_DSN, Asked, Dsn


def text_of(dsn: Dsn) -> str:
    """Return *dsn* as `dsn_of` reads it."""
    return json.dumps([dsn.ret, dsn.envid, {address: [one.notify, one.orcpt] for address, one in dsn.recipients.items()}])


def dsn_of(text: str) -> Dsn:
    """Return what *text* stands for; nothing for what cannot be read, because mail that asks for nothing can still be delivered."""
    if not text:
        return NO_DSN
    try:
        ret, envid, recipients = json.loads(text)
        return Dsn(ret, envid, {address: Asked(*asked) for address, asked in recipients.items()})
    except (ValueError, TypeError, AttributeError):
        return NO_DSN
