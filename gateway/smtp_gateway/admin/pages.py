"""Probes and metrics: plain, without addresses and without anything to change.

`/livez` answers while the event loop turns; `/readyz` is 200 while mail can be taken and 503 with the reason otherwise, never for a next
hop's sake; `/metrics` is Prometheus' text format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Pages:
    """The pages."""

    def __init__(self, not_ready: Callable[[], str | None], metrics: Callable[[], Awaitable[bytes]], content_type: str) -> None:
        """Ask *not_ready* why mail cannot be taken (None when it can), and *metrics* for the page of metrics."""
        self._not_ready = not_ready
        self._metrics = metrics
        self._content_type = content_type

    def application(self) -> web.Application:
        """Return the pages as something to serve."""
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
        return web.Response(body=await self._metrics(), headers={"Content-Type": self._content_type})
