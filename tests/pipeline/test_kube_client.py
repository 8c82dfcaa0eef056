"""The client of the Kubernetes API, against a small HTTP server: what it asks, and what it makes of each answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientTimeout, web
from kubernetes.aio.client import ApiClient, Configuration
from structlog.testing import capture_logs

from smtp_gateway_operator.cluster import kube
from smtp_gateway_operator.cluster.api import (
    EVENT,
    GATEWAY,
    SECRET,
    STATEFUL_SET,
    ClusterError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    ImmutableError,
    NamespaceTerminatingError,
    NotFoundError,
    Object,
    Ref,
    RejectedError,
    UnavailableError,
)
from smtp_gateway_operator.cluster.kube import KubeCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONE = Ref(SECRET, "apps", "one")
BODY = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one", "namespace": "apps", "uid": "uid-1"}}
TOKEN = "token-of-the-operator"
HTML = "<html>a proxy's page</html>"


@dataclass(frozen=True, slots=True)
class Request:
    """What the server was asked."""

    line: str
    query: dict[str, str]
    content_type: str
    body: Any


class ApiServer:
    """Answers every request with what the test says, and notes it."""

    def __init__(self) -> None:
        """Answer with an empty object."""
        self.asked: list[Request] = []
        self.answers: list[web.Response] = []
        self.silent = asyncio.Event()
        self.silent.set()
        self.dropping = False
        self.tokens: set[str | None] = set()

    def answers_with(self, status: int, content: Object | list[Any] | str) -> None:
        """Answer the next request so."""
        self.answers.append(
            web.Response(status=status, text=content) if isinstance(content, str) else web.json_response(content, status=status)
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.json() if request.can_read_body else None
        self.asked.append(Request(f"{request.method} {request.path}", dict(request.query), request.content_type, body))
        self.tokens.add(request.headers.get("Authorization"))
        await self.silent.wait()
        if self.dropping:
            assert request.transport is not None
            request.transport.abort()
        return self.answers.pop(0) if self.answers else web.json_response(BODY)


@pytest.fixture
async def server() -> AsyncIterator[tuple[ApiServer, str]]:
    """A server on loopback, and where it is."""
    server, application = ApiServer(), web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield server, f"http://127.0.0.1:{runner.addresses[0][1]}"
    server.silent.set()
    await runner.cleanup()


@pytest.fixture
def api(server: tuple[ApiServer, str]) -> ApiServer:
    """The server."""
    return server[0]


@pytest.fixture
async def cluster(server: tuple[ApiServer, str]) -> AsyncIterator[KubeCluster]:
    """The client of that server."""
    configuration = Configuration(host=server[1], api_key={"BearerToken": TOKEN}, api_key_prefix={"BearerToken": "Bearer"})
    async with ApiClient(configuration) as client:
        yield KubeCluster(client)


async def refusal(cluster: KubeCluster) -> ClusterError:
    """Return the error of a patch, for which every status code means something."""
    with pytest.raises(ClusterError) as told:
        await cluster.patch(ONE, {})
    return told.value


async def test_reads_ask_by_path(cluster: KubeCluster, api: ApiServer) -> None:
    """The core and the groups have roots of their own, and the token goes along."""
    await cluster.get(ONE)
    await cluster.get(Ref(STATEFUL_SET, "apps", "mail"))
    await cluster.get(Ref(GATEWAY, "apps", "mail"))

    assert [one.line for one in api.asked] == [
        "GET /api/v1/namespaces/apps/secrets/one",
        "GET /apis/apps/v1/namespaces/apps/statefulsets/mail",
        "GET /apis/smtpgateway.io/v1alpha1/namespaces/apps/smtpgateways/mail",
    ]
    assert api.tokens == {f"Bearer {TOKEN}"}


async def test_writes_say_who_they_are_and_bear_no_unknown_field(cluster: KubeCluster, api: ApiServer) -> None:
    """Every write names the field manager; an application forces its fields; a field that the server does not know is an error."""
    ours = {"fieldManager": "smtp-gateway-operator"}
    strict = ours | {"fieldValidation": "Strict"}

    await cluster.create(BODY)
    await cluster.apply(BODY)
    await cluster.patch(ONE, {"data": {"a": None}})
    await cluster.patch_status(Ref(GATEWAY, "apps", "mail"), {"replicas": 1})

    one = "/api/v1/namespaces/apps/secrets"
    status = "/apis/smtpgateway.io/v1alpha1/namespaces/apps/smtpgateways/mail/status"
    assert api.asked == [
        Request(f"POST {one}", strict, "application/json", BODY),
        Request(f"PATCH {one}/one", strict | {"force": "true"}, "application/apply-patch+yaml", BODY),
        Request(f"PATCH {one}/one", strict, "application/merge-patch+json", {"data": {"a": None}}),
        Request(f"PATCH {status}", ours, "application/merge-patch+json", {"status": {"replicas": 1}}),
    ]


async def test_a_deletion_names_the_object_that_is_meant(cluster: KubeCluster, api: ApiServer) -> None:
    """Its uid is a precondition, and its dependants go in the background; what is gone already is fine."""
    api.answers_with(404, {"message": 'secrets "one" not found'})

    await cluster.delete(ONE, "uid-1")

    (asked,) = api.asked
    assert asked.line == "DELETE /api/v1/namespaces/apps/secrets/one"
    assert (asked.body["preconditions"], asked.body["propagationPolicy"]) == ({"uid": "uid-1"}, "Background")


async def test_a_list_has_all_of_its_pages(cluster: KubeCluster, api: ApiServer) -> None:
    """Pages are asked for until there is none, and items say what they are, which the server leaves out."""
    api.answers_with(200, {"metadata": {"continue": "more"}, "items": [{"metadata": {"name": "one"}}]})
    api.answers_with(200, {"metadata": {}, "items": [{"metadata": {"name": "two"}}]})

    found = await cluster.list(SECRET, None, {"b": "2", "a": "1"})

    assert [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in found] == [
        ("v1", "Secret", "one"),
        ("v1", "Secret", "two"),
    ]
    query = {"labelSelector": "a=1,b=2", "limit": "500"}
    assert [(one.line, one.query) for one in api.asked] == [
        ("GET /api/v1/secrets", query),
        ("GET /api/v1/secrets", query | {"continue": "more"}),
    ]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RejectedError),
        (401, UnavailableError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, ExpiredError),
        (422, RejectedError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
async def test_what_a_status_code_means(cluster: KubeCluster, api: ApiServer, status: int, kind: type[ClusterError]) -> None:
    """Each is one kind of failure, in the server's own words."""
    api.answers_with(status, {"kind": "Status", "message": "the server's own words", "details": {"name": "one"}})

    error = await refusal(cluster)

    assert type(error) is kind
    assert str(error) == "the server's own words"


@pytest.mark.parametrize(("status", "header", "seconds"), [(429, "7", 7.0), (503, "1", 1.0), (429, "", 0.0), (429, "tomorrow", 0.0)])
async def test_the_server_says_how_long_it_wants_peace(
    cluster: KubeCluster, api: ApiServer, status: int, header: str, seconds: float
) -> None:
    """`Retry-After` goes with the failure, in seconds, which is how the API server says it."""
    api.answers_with(status, {"message": "too many requests"})
    api.answers[0].headers["Retry-After"] = header

    error = await refusal(cluster)

    assert isinstance(error, UnavailableError)
    assert error.retry_after == seconds


IMMUTABLE = [
    'Invalid value: "Opaque": field is immutable',
    "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', ... are forbidden",
    'Invalid value: "internal": may not change once set',
]
WRONG = 'Invalid value: "x": must be a valid port'


@pytest.mark.parametrize(
    ("messages", "kind"),
    [
        *(([message], ImmutableError) for message in IMMUTABLE),
        ([WRONG], RejectedError),
        ([IMMUTABLE[0], WRONG], RejectedError),
        ([], RejectedError),
    ],
)
async def test_a_field_that_cannot_be_changed_is_told_from_a_wrong_one(
    cluster: KubeCluster, api: ApiServer, messages: list[str], kind: type[ClusterError]
) -> None:
    """Another object could have it so, but only when nothing else is wrong."""
    causes = [{"reason": "FieldValueInvalid", "message": message, "field": "spec"} for message in messages]
    api.answers_with(422, {"message": "is invalid", "details": {"causes": causes}})

    assert type(await refusal(cluster)) is kind


TERMINATING = {
    "message": 'secrets "one" is forbidden: unable to create new content in namespace apps because it is being terminated',
    "details": {
        "causes": [{"reason": "NamespaceTerminating", "message": "namespace apps is being terminated", "field": "metadata.namespace"}]
    },
}


async def test_a_namespace_that_is_being_deleted_is_no_missing_right(cluster: KubeCluster, api: ApiServer) -> None:
    """It is answered with 403 as well, and nothing can be done about it; an Event that nobody will read is not missed."""
    api.answers_with(403, TERMINATING)
    assert type(await refusal(cluster)) is NamespaceTerminatingError

    api.answers_with(403, TERMINATING)
    event = {"apiVersion": EVENT.api_version, "kind": EVENT.name, "metadata": {"generateName": "mail.", "namespace": "apps"}}
    with capture_logs() as logged:
        await cluster.record_event(event | {"reason": "Ready"})
    assert logged == []


async def test_another_uid_is_a_conflict(cluster: KubeCluster, api: ApiServer) -> None:
    """An application to an object that took the name since is answered with 422, and is no invalid object."""
    message = 'Secret "one" is invalid: metadata.uid: Invalid value: "uid-1": field is immutable'
    api.answers_with(422, {"message": message, "details": {"causes": [{"reason": "FieldValueInvalid", "field": "metadata.uid"}]}})

    error = await refusal(cluster)

    assert type(error) is ConflictError
    assert str(error) == message


async def test_an_application_that_the_server_cannot_type_is_rejected(cluster: KubeCluster, api: ApiServer) -> None:
    """An unknown field in an application is answered with 500: to try it again for ever, and say nothing, would help nobody."""
    message = "failed to create typed patch object (apps/one; /v1, Kind=Secret): .dataa: field not declared in schema"
    api.answers_with(500, {"kind": "Status", "message": message, "code": 500})

    error = await refusal(cluster)

    assert type(error) is RejectedError
    assert str(error) == message


async def test_an_object_that_is_not_there_is_none(cluster: KubeCluster, api: ApiServer) -> None:
    """Also when the server does not know the kind, which it says in plain text."""
    api.answers_with(404, {"message": 'secrets "one" not found'})
    api.answers_with(404, "404 page not found\n")

    assert await cluster.get(ONE) is None
    assert await cluster.get(Ref(GATEWAY, "apps", "mail")) is None


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (403, HTML, ForbiddenError),
        (502, HTML, UnavailableError),
        (502, "", UnavailableError),
        (200, HTML, UnavailableError),
        (200, "", UnavailableError),
        (200, ["not", "an", "object"], UnavailableError),
        (500, ["not", "an", "object"], UnavailableError),
    ],
)
async def test_an_answer_of_somebody_else(
    cluster: KubeCluster, api: ApiServer, status: int, content: str | list[Any], kind: type[ClusterError]
) -> None:
    """A proxy between may answer with a page: its code counts if it is a failure, and a page in the place of an object is one."""
    api.answers_with(status, content)

    error = await refusal(cluster)

    assert type(error) is kind
    assert str(error) == f"PATCH /api/v1/namespaces/apps/secrets/one: HTTP {status}"


async def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, cluster: KubeCluster, api: ApiServer) -> None:
    """Beyond the limit of a request nothing is known about its outcome."""
    monkeypatch.setattr(kube, "TIMEOUT", ClientTimeout(total=0.05))
    api.silent.clear()

    assert type(await refusal(cluster)) is UnavailableError


async def test_a_connection_that_breaks(cluster: KubeCluster, api: ApiServer) -> None:
    """It may have been done or not: worth trying again. The message says what was asked, without headers."""
    api.dropping = True

    error = await refusal(cluster)

    assert type(error) is UnavailableError
    assert str(error).startswith("PATCH /api/v1/namespaces/apps/secrets/one: ")
    assert TOKEN not in str(error)


async def test_nobody_is_there(unused_tcp_port: int) -> None:
    """A refused connection is like any other."""
    async with ApiClient(Configuration(host=f"http://127.0.0.1:{unused_tcp_port}")) as client:
        assert type(await refusal(KubeCluster(client))) is UnavailableError


async def test_an_event_that_is_refused_is_logged(cluster: KubeCluster, api: ApiServer) -> None:
    """An Event is a courtesy: the reconcile goes on."""
    api.answers_with(403, {"message": "exceeded quota"})
    event = {"apiVersion": EVENT.api_version, "kind": EVENT.name, "metadata": {"generateName": "mail.", "namespace": "apps"}}

    with capture_logs() as logged:
        await cluster.record_event(event | {"reason": "Ready"})

    assert [(one["event"], one["reason"], one["error"]) for one in logged] == [("event not recorded", "Ready", "exceeded quota")]
