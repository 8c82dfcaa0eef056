"""When mail on a route is tried again, and how fast it may go."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from smtp_gateway.config.habits import Model


class Retry(Model):
    """The curve of retries: after attempt *n* the wait is `initial * factor**(n-1)`, at most `maximum`, each shortened at random.

    The random part keeps messages that failed together from coming back together.
    """

    initial: Annotated[float, Field(gt=0)] = 30.0
    """Seconds before the second attempt."""
    maximum: Annotated[float, Field(gt=0)] = 3600.0
    """Seconds, the longest wait between two attempts."""
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    """By what each wait is longer than the one before; 2 is Postfix's and Exim's."""
    jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.25
    """The largest part by which a wait is shortened at random."""
    lifetime: Annotated[float, Field(gt=0)] | None = None
    """Seconds that mail on this route is retried before it is returned; None: as long as all mail (`Config.lifetime`)."""


class Pacing(Model):
    """How fast a route may be given mail by all pods together; None where nothing is said.

    Messages are transactions that next hops take, recipients those of all of them.
    """

    messages_per_second: Annotated[int, Field(ge=1)] | None = None
    messages_per_minute: Annotated[int, Field(ge=1)] | None = None
    messages_per_day: Annotated[int, Field(ge=1)] | None = None
    recipients_per_second: Annotated[int, Field(ge=1)] | None = None
    recipients_per_minute: Annotated[int, Field(ge=1)] | None = None
    recipients_per_day: Annotated[int, Field(ge=1)] | None = None
    connections: Annotated[int, Field(ge=1)] | None = None
