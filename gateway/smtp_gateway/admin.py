"""The HTTP port of a gateway: probes and metrics, plain, without addresses and without anything to change.

`/livez` answers while the event loop turns; `/readyz` is 200 while mail can be taken and 503 with the reason otherwise, never for a next
hop's sake; `/metrics` is Prometheus' text format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

GOODBYE = 1.0
"""Seconds that a request in progress may take when the port closes."""


class HttpPortError(Exception):
    """The HTTP port cannot be bound; the message is one sentence."""


class Admin:
    """The pages, and the port they are on."""

    def __init__(self, not_ready: Callable[[], str | None], metrics: Callable[[], bytes], content_type: str) -> None:
        """Ask *not_ready* why mail cannot be taken (None when it can), and *metrics* for the page of metrics."""
        self._not_ready = not_ready
        self._metrics = metrics
        self._content_type = content_type
        self.port = 0
        """The port in use, once open."""

    async def open(self, stack: AsyncExitStack, host: str | None, port: int) -> None:
        """Serve at *host* (None: all addresses) and *port* (0: one of the system's choice) until *stack* is closed.

        Raises `HttpPortError`.
        """
        runner = web.AppRunner(self._application(), access_log=None, handle_signals=False, shutdown_timeout=GOODBYE)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            message = f"probes and metrics cannot use port {port}: {error.strerror or error}"
            raise HttpPortError(message) from error
        self.port = runner.addresses[0][1]

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._page)
        return application

    async def _livez(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        reason = self._not_ready()
        return web.Response(text="ok\n") if reason is None else web.Response(status=503, text=f"{reason}\n")

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": self._content_type})
