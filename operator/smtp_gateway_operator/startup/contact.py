"""kopf's session with the API server, and whether kopf's watches are alive.

kopf tells its handlers what changed and nothing else, so a watch of a quiet cluster and one that died are the same to them. But kopf
asks for every watch through this session, and asks again at least every `server_timeout`: a watch that has not asked for longer is dead.
The answer is a sign of life of the API server and is shown as a metric; only the asking is judged, because restarting this process
would not bring an API server back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import kopf
from aiohttp import ClientSession, TCPConnector, TraceConfig

from smtp_gateway_operator.names import OPERATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import TraceRequestEndParams, TraceRequestStartParams
    from yarl import URL

PATIENCE = 900.0
"""Seconds without a request after which a watch is dead: thrice the time after which the server ends it, for slow lists and backoff."""


class Contact:
    """When each of kopf's watches last asked the API server."""

    def __init__(self, clock: Callable[[], float], answered: Callable[[str], object]) -> None:
        """Call *answered* with the resource whenever the API server answers a watch; *clock* never jumps."""
        self._clock = clock
        self._answered = answered
        self._asked: dict[str, float] = {}

    def silent(self) -> str | None:
        """Return the path of a watch that is dead; None when there is none."""
        now = self._clock()
        return next((path for path, when in self._asked.items() if now - when > PATIENCE), None)

    async def login(self, settings: kopf.OperatorSettings) -> kopf.AiohttpSession | None:
        """Return a session with the credentials of this moment, which kopf closes when they are refused; None without credentials."""
        info = await asyncio.to_thread(_credentials, settings)
        if info is None:
            return None
        tls = await asyncio.to_thread(info.as_ssl_context)  # reads files
        session = ClientSession(
            connector=TCPConnector(limit=0, ssl=tls),
            headers=info.as_http_headers() | {"User-Agent": OPERATOR},
            proxy=info.proxy_url,
            trust_env=info.trust_env,
            trace_configs=[self._trace()],
        )
        return kopf.AiohttpSession(aiohttp_session=session, server=info.server, default_namespace=info.default_namespace)

    def _trace(self) -> TraceConfig:
        trace = TraceConfig()
        trace.on_request_start.append(self._ask)
        trace.on_request_end.append(self._answer)
        return trace

    async def _ask(self, _: ClientSession, __: Any, request: TraceRequestStartParams) -> None:
        if _is_watch(request.url):
            self._asked[request.url.path] = self._clock()

    async def _answer(self, _: ClientSession, __: Any, request: TraceRequestEndParams) -> None:
        if _is_watch(request.url) and request.response.ok:
            self._answered(request.url.name)


def _is_watch(url: URL) -> bool:
    return url.query.get("watch") == "true"


def _credentials(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
