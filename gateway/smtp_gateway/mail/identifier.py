"""The gateway's own name of a message: made once, when it is accepted, and found in every log line about it."""

from __future__ import annotations

from base64 import b32hexencode

from smtp_gateway.mail.envelope import MessageId

ENTROPY = 9
"""Octets of chance in an identifier: 72 bits, so that two pods that share a spool's past never meet in one millisecond."""
_CLOCK = 6
"""Octets of milliseconds since the epoch: enough for the next 8,000 years. With `ENTROPY` they fill base32 without padding."""


def message_id(now: float, entropy: bytes) -> MessageId:
    """Return the identifier of a message accepted *now* (seconds since the epoch), distinguished by `ENTROPY` octets of *entropy*.

    Twenty-four letters and digits whose order as text is the order of arrival, to the millisecond: "base32hex" keeps the order of what
    it encodes (RFC 4648 section 7), which ordinary base32 does not.
    """
    if len(entropy) != ENTROPY:
        message = f"an identifier needs {ENTROPY} octets of entropy, not {len(entropy)}"
        raise ValueError(message)
    return MessageId(b32hexencode(int(now * 1000).to_bytes(_CLOCK, "big") + entropy).decode("ascii"))
