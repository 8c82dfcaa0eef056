"""The Kubernetes API through `kubernetes.aio`, with plain dicts.

The client's generated methods and models are left aside: they are slow to import, and would refuse what a newer server knows. Its
transport stays: TLS, tokens that are read again when they rotate, one pool of connections.

What can go wrong is one of the errors of `smtp_gateway_operator.cluster.api`; a request that takes longer than `TIMEOUT` is unavailable.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import ClientError, ClientTimeout
from kubernetes.aio.client.exceptions import OpenApiException

from smtp_gateway_operator.cluster.api import (
    KINDS,
    ClusterError,
    ConflictError,
    ForbiddenError,
    Kind,
    NotFoundError,
    Object,
    Ref,
    RejectedError,
    UnavailableError,
    ref_of,
)
from smtp_gateway_operator.names import OPERATOR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.aio.client import ApiClient

TIMEOUT = ClientTimeout(total=30, connect=10)
"""Seconds for one request; the API server's own limit for a request that is not a watch is 60."""
PAGE = 500
"""Objects in one page of a list, the size that kubectl uses."""
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
    422: RejectedError,
}
"""What a status code means to the operator; any other failure is `UnavailableError`."""
_FAILED, _UNTYPED = 500, "failed to create typed patch object"
"""How an application is refused of which the server does not know a field: other than a creation, with 500 and no reason."""

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
        selector = ",".join(f"{label}={value}" for label, value in sorted((labels or {}).items()))
        found: list[Object] = []
        following = ""
        while True:
            query = (("labelSelector", selector), ("limit", str(PAGE)), ("continue", following))
            page = await self._request("GET", _path(kind, namespace), query)
            # Items of a list do not say what they are.
            found += [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in page["items"]]
            following = page["metadata"].get("continue") or ""
            if not following:
                return tuple(found)

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

    async def delete(self, ref: Ref, uid: str) -> None:
        """See `Cluster`."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._request("DELETE", _path(ref.kind, ref.namespace, ref.name), (), (JSON, options))
        except NotFoundError:
            return

    async def patch_status(self, ref: Ref, status: Object) -> None:
        """See `Cluster`."""
        path = f"{_path(ref.kind, ref.namespace, ref.name)}/status"
        await self._request("PATCH", path, (self._manager,), (MERGE, {"status": status}))

    async def record_event(self, event: Object) -> None:
        """See `Cluster`."""
        try:
            await self.create(event)
        except ClusterError as error:
            self._log.warning("event not recorded", reason=event.get("reason"), error=str(error))

    async def _object(self, method: str, path: str, query: Query = (), content: tuple[str, Object] | None = None) -> Object:
        answer: Object = await self._request(method, path, query, content)
        return answer

    async def _request(self, method: str, path: str, query: Query = (), content: tuple[str, Object] | None = None) -> Any:
        content_type, body = content or (JSON, None)
        try:
            request = await self._client.param_serialize(
                method,
                path,
                query_params=[(name, value) for name, value in query if value],
                header_params={"Accept": JSON, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(*request, _request_timeout=TIMEOUT)
            answer = await response.read()  # type: ignore[no-untyped-call] # the client's transport is not annotated
        except (ClientError, OpenApiException, OSError) as error:
            message = f"{method} {path}: {type(error).__name__}: {error}"
            raise UnavailableError(message) from error
        return _understood(response.status, answer, f"{method} {path}")


def _path(kind: Kind, namespace: str | None, *name: str) -> str:
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    scope = ("namespaces", namespace) if namespace is not None else ()
    return "/".join((root, *scope, kind.plural, *name))


def _understood(status: int, answer: bytes, request: str) -> Any:
    """Return the answer's object, or raise the error that its status code stands for."""
    content = _json_object(answer)
    if content is not None and 200 <= status <= 299:  # noqa: PLR2004 the codes of success (RFC 9110 section 15.3)
        return content
    content = content or {}  # a page of some proxy between; in the place of an object it is a failure too
    message = content.get("message") or f"{request}: HTTP {status}"
    causes = (content.get("details") or {}).get("causes") or []
    if any(cause.get("field") == "metadata.uid" for cause in causes):
        # An application to an object that took the name since is answered with 422, "field is immutable", and not with 409.
        raise ConflictError(message)
    if status == _FAILED and message.startswith(_UNTYPED):
        raise RejectedError(message)
    raise _ERRORS.get(status, UnavailableError)(message)


def _json_object(answer: bytes) -> Object | None:
    try:
        content = json.loads(answer)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
