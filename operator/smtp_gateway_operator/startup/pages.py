"""What the process shows over HTTP: each path is a function, whose words are the answer and whose `RuntimeError` is a failed probe."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING

from aiohttp import web

from smtp_gateway_operator.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AsyncExitStack

    Page = Callable[[], str | bytes | Awaitable[bytes]]


async def serve(resources: AsyncExitStack, port: int, pages: Mapping[str, Page]) -> None:
    """Serve *pages* on *port* of every address until *resources* are closed."""
    application = web.Application()
    for path, page in pages.items():
        application.router.add_get(path, _handler(page))
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    resources.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, port=port).start()


def _handler(page: Page) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        try:
            words = page()
            if isawaitable(words):
                words = await words
        except RuntimeError as error:
            return web.Response(status=503, text=f"{error}\n")
        if isinstance(words, bytes):
            return web.Response(body=words, headers={"Content-Type": CONTENT_TYPE})
        return web.Response(text=f"{words}\n")

    return handle
