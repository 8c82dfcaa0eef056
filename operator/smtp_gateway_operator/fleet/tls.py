"""The pods' admin ports over TLS 1.2 or later, with certificates on both sides.

A pod is reached by its address and must show a certificate for its name: addresses are given to other pods in time. The operator's own
certificate is issued from the gateway's authority and lives in this process's memory alone.

What can go wrong is told in a sentence in the place of the report.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import ClientError, ClientPayloadError, ClientSession, ClientTimeout, TCPConnector
from pydantic import ValidationError
from yarl import URL

from smtp_gateway.config.certificate import Pair, issue_client, renewal_due
from smtp_gateway_operator.fleet.api import running
from smtp_gateway_operator.names import OPERATOR, pod_address
from smtp_gateway_operator.spec import ADMIN_PORT, PodReport, sentence_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from aiohttp import StreamReader

    from smtp_gateway_operator.fleet.api import Pod
    from smtp_gateway_operator.names import Key, Owner

PATIENCE = 3.0
"""Seconds that a pod is given for its answer, handshake included."""
KEPT = 60.0
"""Seconds that a connection is kept: over the next few looks, so that a handshake is not paid for each."""
LARGEST = 1024 * 1024
"""Octets of a report that are read; one of 32 routes with 16 smarthosts each has some 300,000."""


@dataclass(frozen=True, slots=True)
class _Credentials:
    """What the operator shows to the pods of one gateway, and whom it trusts there."""

    authority: Pair
    shown: Pair
    context: ssl.SSLContext


class TlsFleet:
    """The port `Fleet` over TLS. Use it as a context manager, in a running event loop."""

    def __init__(self, port: int = ADMIN_PORT, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Ask on *port* of each pod; *now* tells the time, aware."""
        self._port = port
        self._now = now
        self._credentials: dict[Key, _Credentials] = {}
        self._session: ClientSession

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        self._session = ClientSession(connector=TCPConnector(limit=0, keepalive_timeout=KEPT), timeout=ClientTimeout(total=PATIENCE))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close every connection."""
        await self._session.close()

    async def reports(self, owner: Owner, pods: Sequence[Pod], authority: Pair) -> dict[str, PodReport | str]:
        """See `Fleet`."""
        asked = running(owner, pods)
        try:
            context = await self._context(owner, authority)
        except (ValueError, TypeError, OSError):
            return {pod["metadata"]["name"]: "the gateway's certificate authority is damaged" for pod in asked}
        answers = await asyncio.gather(*(self._report(owner, pod, context) for pod in asked))
        return {pod["metadata"]["name"]: answer for pod, answer in zip(asked, answers, strict=True)}

    def forget(self, key: Key) -> None:
        """See `Fleet`."""
        self._credentials.pop(key, None)

    async def _report(self, owner: Owner, pod: Pod, context: ssl.SSLContext) -> PodReport | str:
        url = URL.build(scheme="https", host=pod["status"]["podIP"], port=self._port, path="/report")
        name = pod_address(owner, pod["metadata"]["name"])
        try:
            async with self._session.get(url, ssl=context, server_hostname=name, allow_redirects=False) as answer:
                if answer.status != 200:  # noqa: PLR2004 OK (RFC 9110 section 15.3.1)
                    return f"its admin port answered with HTTP {answer.status}"
                return PodReport.model_validate_json(await _whole(answer.content))
        except TimeoutError:
            return f"no answer within {PATIENCE:g} s"
        except ValidationError as error:
            return f"its report is not understood: {sentence_of(error)}"
        except (ClientError, OSError) as error:
            return _sentence(error)

    async def _context(self, owner: Owner, authority: Pair) -> ssl.SSLContext:
        """Return what is kept for the gateway, or a new one when there is none or its time has come."""
        kept = self._credentials.get(owner.key)
        if kept is None or kept.authority != authority or renewal_due(kept.shown, self._now()):
            kept = await asyncio.to_thread(_credentials, authority, self._now())
            self._credentials[owner.key] = kept
        return kept.context


async def _whole(content: StreamReader) -> bytes:
    """Return the body. Raises `ClientPayloadError` when it is longer than any report."""
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > LARGEST:
            message = f"its report is longer than {LARGEST} octets"
            raise ClientPayloadError(message)
    return bytes(body)


def _credentials(authority: Pair, now: datetime) -> _Credentials:
    """Raise `ValueError`, `TypeError` or `OSError` for an authority that cannot sign."""
    shown = issue_client(authority, OPERATOR, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authority.certificate.decode("ascii"))
    # OpenSSL's Python face loads a key from a file alone: one that exists in memory only.
    with os.fdopen(os.memfd_create(OPERATOR), "wb") as file:
        file.write(shown.certificate + shown.key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return _Credentials(authority, shown, context)


def _sentence(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    text = getattr(cause, "verify_message", "") or getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return " ".join(str(text).split())
