"""Where and when a message was taken: what the header fields say that are added to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smtp_gateway.mail.envelope import MessageId


@dataclass(frozen=True, slots=True)
class Origin:
    """The gateway that took a message, the message's name there, and the time."""

    id: MessageId
    hostname: str
    now: float
    """Seconds since the epoch."""

    @property
    def date(self) -> str:
        """The time as header fields have it (RFC 5322 section 3.3)."""
        return _date(int(self.now))


@lru_cache(2)
def _date(second: int) -> str:
    # Many messages share one.
    return format_datetime(datetime.fromtimestamp(second, UTC))
