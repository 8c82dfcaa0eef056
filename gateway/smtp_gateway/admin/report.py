"""The admin API: what the operator asks a pod. One question so far, `GET /report`, answered by a `PodReport` as JSON.

It is served over mutual TLS alone (`smtp_gateway.tls.mutual_context`): whoever gets as far as a request is the operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

    from smtp_gateway.config.report import PodReport


def api(report: Callable[[], PodReport]) -> web.Application:
    """Return the API as something to serve; *report* tells how the pod is at the moment."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=report().model_dump_json(by_alias=True), content_type="application/json")

    served = web.Application()
    served.router.add_get("/report", answer)
    return served
