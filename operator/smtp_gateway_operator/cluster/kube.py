"""The Kubernetes API through `kubernetes.aio`, with plain dicts.

The client's generated methods and models are left aside: they are slow to import, and would refuse what a newer server knows. Its
transport stays: TLS, tokens that are read again when they rotate, one pool of connections.

What can go wrong is one of the errors of `smtp_gateway_operator.cluster.api`; a request that takes longer than `TIMEOUT` is unavailable.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import ClientError, ClientTimeout
from kubernetes.aio.client.exceptions import OpenApiException

from smtp_gateway_operator.cluster.api import (
    BACKGROUND,
    KINDS,
    ClusterError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    ImmutableError,
    Kind,
    NamespaceTerminatingError,
    News,
    NotFoundError,
    Object,
    Ref,
    RejectedError,
    Snapshot,
    UnavailableError,
    ref_of,
)
from smtp_gateway_operator.names import OPERATOR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from kubernetes.aio.client import ApiClient

    from smtp_gateway_operator.names import Key

TIMEOUT = ClientTimeout(total=30, connect=10)
"""Seconds for one request; the API server's own limit for a request that is not a watch is 60."""
WATCH = (300, 600)
"""Seconds after which the server is asked to end a watch, at random in between, so that they do not all come back together."""
SILENCE = 100
"""Seconds of silence after which a watch is dead: the server sends a bookmark about every 60."""
PAGE = 500
"""Objects in one page of a list, the size that kubectl uses."""
OK = 200
JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRICT = ("fieldValidation", "Strict")
"""A field that the server does not know is an error and not silently dropped: it might be one that protects the pods."""

_ERRORS: dict[int, type[ClusterError]] = {
    400: RejectedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    422: RejectedError,
}
"""What a status code means to the operator; any other failure is `UnavailableError`."""
_FAILED, _UNTYPED = 500, "failed to create typed patch object"
"""How an application is refused of which the server does not know a field: other than a creation, with 500 and no reason."""

_TERMINATING = "NamespaceTerminating"
"""The cause of what is refused in a namespace that is being deleted (`core/v1`, NamespaceTerminatingCause)."""

_IMMUTABLE = ("is immutable", "may not be changed", "may not change once set", "updates to statefulset spec for fields other than")
"""How the API server says that a field cannot be changed; there is no code for it."""

Query = tuple[tuple[str, str], ...]


class KubeCluster:
    """The port `Cluster` on a real API server."""

    def __init__(self, client: ApiClient, manager: str = OPERATOR) -> None:
        """Use *client*, whose owner closes it, and write as the field manager *manager*."""
        self._client = client
        self._manager = ("fieldManager", manager)
        self._log = structlog.get_logger()

    async def get(self, ref: Ref) -> Object | None:
        """See `Cluster`."""
        try:
            return await self._object("GET", _path(ref.kind, ref.namespace, ref.name))
        except NotFoundError:
            return None

    async def list(self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None) -> tuple[Object, ...]:
        """See `Cluster`."""
        return (await self.snapshot(kind, namespace, labels)).objects

    async def snapshot(self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None) -> Snapshot:
        """See `Cluster`."""
        selector = ",".join(f"{label}={value}" for label, value in sorted((labels or {}).items()))
        return await self._pages(kind, namespace, ("labelSelector", selector))

    async def snapshot_of(self, ref: Ref) -> Snapshot:
        """See `Watching`."""
        return await self._pages(ref.kind, ref.namespace, _named(ref))

    async def watch(self, ref: Ref, version: str) -> AsyncIterator[News | str]:
        """See `Watching`."""
        path = _path(ref.kind, ref.namespace)
        ends = str(random.randint(*WATCH))  # noqa: S311 it spreads load and keeps no secret
        query = (_named(ref), ("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", version), ("timeoutSeconds", ends))
        response = None
        try:
            async with asyncio.timeout(SILENCE) as silence:
                response = await self._call("GET", path, query, limits=ClientTimeout(total=None, connect=10))
                if response.status != OK:
                    _understood(response, await response.read(), f"GET {path}")
                async for line in response.response.content:
                    silence.reschedule(asyncio.get_running_loop().time() + SILENCE)
                    yield _news(line)
        except (ClientError, OpenApiException, OSError, ValueError, KeyError, TypeError) as error:  # a timeout is an OSError
            message = f"watch of {ref}: {type(error).__name__}: {error}"
            raise UnavailableError(message) from error
        finally:
            if response is not None:
                response.response.close()  # otherwise the connection would stay open for what nobody reads

    async def create(self, body: Object) -> Object:
        """See `Cluster`."""
        path = _path(KINDS[body["apiVersion"], body["kind"]], body["metadata"]["namespace"])
        return await self._object("POST", path, (self._manager, STRICT), (JSON, body))

    async def apply(self, body: Object) -> Object:
        """See `Cluster`."""
        ref = ref_of(body)
        path = _path(ref.kind, ref.namespace, ref.name)
        return await self._object("PATCH", path, (self._manager, ("force", "true"), STRICT), (APPLY, body))

    async def patch(self, ref: Ref, body: Object) -> Object:
        """See `Cluster`."""
        return await self._object("PATCH", _path(ref.kind, ref.namespace, ref.name), (self._manager, STRICT), (MERGE, body))

    async def delete(self, ref: Ref, uid: str, dependants: str = BACKGROUND) -> None:
        """See `Cluster`."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}, "propagationPolicy": dependants}
        try:
            await self._request("DELETE", _path(ref.kind, ref.namespace, ref.name), (), (JSON, options))
        except NotFoundError:
            return

    async def patch_status(self, ref: Ref, status: Object) -> Object:
        """See `Cluster`."""
        path = f"{_path(ref.kind, ref.namespace, ref.name)}/status"
        return await self._object("PATCH", path, (self._manager,), (MERGE, {"status": status}))

    def refer(self, gateway: Key, refs: Iterable[Ref]) -> None:
        """See `Cluster`. A connection follows nothing; what stands before it does."""

    async def record_event(self, event: Object) -> None:
        """See `Cluster`."""
        try:
            await self.create(event)
        except NamespaceTerminatingError:
            return  # as everybody who could read it knows
        except ClusterError as error:
            self._log.warning("event not recorded", reason=event.get("reason"), error=str(error))

    async def _pages(self, kind: Kind, namespace: str | None, selector: tuple[str, str]) -> Snapshot:
        found: list[Object] = []
        following = ""
        while True:
            page = await self._request("GET", _path(kind, namespace), (selector, ("limit", str(PAGE)), ("continue", following)))
            # Items of a list do not say what they are.
            found += [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in page["items"]]
            following = page["metadata"].get("continue") or ""
            if not following:
                return Snapshot(page["metadata"].get("resourceVersion", ""), tuple(found))

    async def _object(self, method: str, path: str, query: Query = (), content: tuple[str, Object] | None = None) -> Object:
        answer: Object = await self._request(method, path, query, content)
        return answer

    async def _request(self, method: str, path: str, query: Query = (), content: tuple[str, Object] | None = None) -> Any:
        try:
            response = await self._call(method, path, query, content)
            answer = await response.read()
        except (ClientError, OpenApiException, OSError) as error:
            message = f"{method} {path}: {type(error).__name__}: {error}"
            raise UnavailableError(message) from error
        return _understood(response, answer, f"{method} {path}")

    async def _call(
        self, method: str, path: str, query: Query, content: tuple[str, Object] | None = None, *, limits: ClientTimeout | None = None
    ) -> Any:
        content_type, body = content or (JSON, None)
        request = await self._client.param_serialize(
            method,
            path,
            query_params=[(name, value) for name, value in query if value],
            header_params={"Accept": JSON, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self._client.call_api(*request, _request_timeout=limits or TIMEOUT)


def _path(kind: Kind, namespace: str | None, *name: str) -> str:
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    scope = ("namespaces", namespace) if namespace is not None else ()
    return "/".join((root, *scope, kind.plural, *name))


def _named(ref: Ref) -> tuple[str, str]:
    return "fieldSelector", f"metadata.name={ref.name}"


def _understood(response: Any, answer: bytes, request: str) -> Any:
    """Return the answer's object, or raise the error that its status code stands for."""
    content = _json_object(answer)
    if content is not None and 200 <= response.status <= 299:  # noqa: PLR2004 the codes of success (RFC 9110 section 15.3)
        return content
    raise _error(response.status, content or {}, request, response.headers.get("Retry-After", ""))


def _error(status: int, content: Object, request: str, retry_after: str = "") -> ClusterError:
    """Return what the status code means; *content* may be empty, as behind a proxy that answers with a page of its own."""
    message = content.get("message") or f"{request}: HTTP {status}"
    causes = (content.get("details") or {}).get("causes") or []
    if any(cause.get("field") == "metadata.uid" for cause in causes):
        # An application to an object that took the name since is answered with 422, "field is immutable", and not with 409.
        return ConflictError(message)
    if any(cause.get("reason") == _TERMINATING for cause in causes):
        return NamespaceTerminatingError(message)
    if status == _FAILED and message.startswith(_UNTYPED):
        return RejectedError(message)
    kind = _ERRORS.get(status)
    if kind is None:
        return UnavailableError(message, float(retry_after) if retry_after.isdecimal() else 0.0)
    if kind is RejectedError and causes and all(_is_immutable(cause) for cause in causes):
        return ImmutableError(message)
    return kind(message)


def _is_immutable(cause: Object) -> bool:
    return any(words in cause.get("message", "") for words in _IMMUTABLE)


def _news(line: bytes) -> News | str:
    """Return what one line of a watch says. Raises the error that it is, and any of Python's for what is none of Kubernetes' words."""
    event = json.loads(line)
    body = event["object"]
    if event["type"] == "ERROR":
        raise _error(body.get("code", 0), body, "watch")
    version: str = body["metadata"]["resourceVersion"]
    return version if event["type"] == "BOOKMARK" else News(body, deleted=event["type"] == "DELETED")


def _json_object(answer: bytes) -> Object | None:
    try:
        content = json.loads(answer)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
