"""A port on which HTTP is spoken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from contextlib import AsyncExitStack

GOODBYE = 1.0
"""Seconds that a request in progress may take when the port closes."""


PROBES = "probes and metrics"
REPORTS = "reports to the operator"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a port is, and what for."""

    purpose: str
    """What is on it, for people."""
    host: str | None
    """None for all addresses."""
    port: int
    """0 for one of the system's choice."""
    tls: ssl.SSLContext | None = None
    """None for plain HTTP."""


class PortError(Exception):
    """A port cannot be bound; the message is one sentence."""

    def __init__(self, place: Place, cause: OSError) -> None:
        """Say which, and why."""
        super().__init__(f"{place.purpose} cannot use port {place.port}: {cause.strerror or cause}")
        self.place = place


async def open_port(stack: AsyncExitStack, application: web.Application, place: Place) -> int:
    """Serve *application* at *place* until *stack* is closed; return the port in use.

    Raises `PortError`.
    """
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=GOODBYE)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, place.host, place.port, ssl_context=place.tls).start()
    except OSError as error:
        raise PortError(place, error) from error
    return int(runner.addresses[0][1])
