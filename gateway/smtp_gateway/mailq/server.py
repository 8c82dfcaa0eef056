"""The queue's side of the socket: HTTP with JSON, one short answer a request.

| request | answer |
|---|---|
| `GET /queue?limit=&after=&...` | `messages` in the order of arrival, perhaps none, `next` to go on after (null at the end), `queued` in all |
| `GET /queue/ID` | the message with its history |
| `GET /queue/ID/content` | its content, out of wire form |
| `POST /queue/ACTION` with `ids` | `results` by id (`mailq.postsuper.Result`) |
| `POST /flush` | nothing; destinations that rest are tried again |

Whoever can open the socket may do all of it: its mode is the permission. The socket is no reason not to run: where it cannot be made, the
log says so, and mail goes on. Only a socket that another process answers ends the start, because the two would be taken for one.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from smtp_gateway.mail.body import DamagedBodyError
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.mail.unstuffed import content
from smtp_gateway.mailq import filters, place, showq
from smtp_gateway.mailq.postsuper import Action, Superintendent
from smtp_gateway.spool.api import Selection, SpoolUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AsyncExitStack
    from pathlib import Path

    from aiohttp.typedefs import Handler

    from smtp_gateway.mail.body import Body
    from smtp_gateway.mailq.postsuper import Delivery
    from smtp_gateway.spool.api import Listed, Spool
    from smtp_gateway.telemetry.observer import Observer

STRIDE = 5000
"""Messages that one answer looks at where a filter finds few: some seven milliseconds of the event loop."""
MOST = 200
"""Messages in one answer, and in one request: a few milliseconds of the event loop, between which mail goes on."""
GOODBYE = 1.0
"""Seconds that a request in progress may take when the socket closes."""

_log = structlog.get_logger()


class QueueSocket:
    """Answers commands on the queue."""

    def __init__(self, spool: Spool, delivery: Delivery, observer: Observer) -> None:
        """Tell of *spool*, and change it past *delivery*."""
        self._spool = spool
        self._delivery = delivery
        self._superintendent = Superintendent(spool, delivery, observer, time.time)

    async def open(self, stack: AsyncExitStack, path: Path) -> None:
        """Answer at *path* until *stack* is closed. Raises `SocketTakenError`."""
        try:
            listening = await asyncio.to_thread(place.listen, path)
        except OSError as fault:
            _log.error("queue commands unavailable", socket=str(path), reason=fault.strerror or str(fault))
            return
        made = await asyncio.to_thread(place.identity, path)
        stack.push_async_callback(asyncio.to_thread, _remove, path, made)
        runner = web.AppRunner(self._application(), access_log=None, handle_signals=False, shutdown_timeout=GOODBYE)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        # Not aiohttp's own site: it takes a made socket for one of TCP.
        server = await asyncio.get_running_loop().create_unix_server(_factory(runner), sock=listening)
        stack.callback(server.close)
        _log.info("queue commands", socket=str(path))

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[_sentences])
        application.router.add_get("/queue", self._list)
        application.router.add_get("/queue/{id}", self._show)
        application.router.add_get("/queue/{id}/content", self._content)
        application.router.add_post("/queue/{action}", self._change)
        application.router.add_post("/flush", self._flush)
        return application

    async def _list(self, request: web.Request) -> web.Response:
        try:
            selection, limit = filters.selection(request.query), int(request.query.get("limit", MOST))
        except ValueError as fault:
            return _refusal(400, str(fault))
        limit = max(1, min(limit, MOST))
        await self._spool.until_readable()
        after = request.query.get("after", "")
        stride = None if selection.ids else self._spool.stride(after, STRIDE)
        found = self._spool.listing(replace(selection, up_to=stride), limit, after)
        following = found[-1].entry.id if len(found) == limit else stride
        messages = [showq.message(one, self._moment(one)) for one in found]
        return web.json_response({"messages": messages, "next": following, "queued": self._spool.depth().messages})

    async def _show(self, request: web.Request) -> web.Response:
        message_id = MessageId(request.match_info["id"])
        await self._spool.until_readable()
        found = self._spool.listing(Selection(ids=frozenset({message_id})), 1)
        if not found:
            return _absent(message_id)
        return web.json_response(showq.story(found[0], self._moment(found[0]), self._spool.history(message_id)))

    def _moment(self, listed: Listed) -> showq.Moment:
        return showq.Moment(time.time(), self._delivery.delivering(listed.entry.id))

    async def _content(self, request: web.Request) -> web.StreamResponse:
        message_id = MessageId(request.match_info["id"])
        try:
            body: Body = await self._spool.body(message_id)
        except KeyError:
            return _absent(message_id)
        except DamagedBodyError as fault:
            return _refusal(410, str(fault))
        except OSError as fault:
            return _refusal(503, fault.strerror or str(fault))
        return await _sent(request, content(body), message_id)

    async def _change(self, request: web.Request) -> web.Response:
        try:
            action = Action(request.match_info["action"])
            ids = [MessageId(one) for one in (await request.json())["ids"]]
        except (ValueError, KeyError, TypeError) as fault:
            return _refusal(400, f"not a change of messages: {fault}")
        if len(ids) > MOST:
            return _refusal(413, f"{len(ids)} messages at once are more than {MOST}")
        return web.json_response({"results": await self._superintendent.carry_out(action, ids)})

    async def _flush(self, _request: web.Request) -> web.Response:
        self._delivery.flush()
        return web.json_response({})


@web.middleware
async def _sentences(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what the spool cannot do with its own sentence."""
    try:
        return await handler(request)
    except SpoolUnavailableError as fault:
        return _refusal(503, str(fault))


async def _sent(request: web.Request, blocks: AsyncIterator[bytes], message_id: MessageId) -> web.StreamResponse:
    """Send *blocks*. Where they end too early, so does the answer: its end in chunked coding is missing (RFC 9112 section 7.1)."""
    answer = web.StreamResponse(headers={"Content-Type": "message/rfc822"})
    await answer.prepare(request)
    try:
        async for block in blocks:
            await answer.write(block)
        await answer.write_eof()
    except ConnectionError:
        pass  # the client went away
    except (DamagedBodyError, KeyError, OSError, SpoolUnavailableError) as fault:
        _log.error("content unreadable", message_id=message_id, reason=str(fault))
        if request.transport is not None:
            request.transport.abort()
    return answer


def _factory(runner: web.AppRunner) -> web.Server:
    if runner.server is None:
        message = "the runner is not set up"
        raise RuntimeError(message)
    return runner.server


def _remove(path: Path, made: tuple[int, ...] | None) -> None:
    """Remove the socket at *path*, if it is still the one that was made."""
    if made is not None and place.identity(path) == made:
        path.unlink(missing_ok=True)


def _absent(message_id: MessageId) -> web.Response:
    return _refusal(404, f"{message_id} is not in the queue")


def _refusal(status: int, reason: str) -> web.Response:
    return web.json_response({"reason": reason}, status=status)
