"""What kopf is told to watch, and what its handlers pass on."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import kopf
import pytest

from smtp_gateway_operator.cluster.api import GATEWAY, SECRET, WATCHED_KINDS, Kind, News
from smtp_gateway_operator.desired import Images
from smtp_gateway_operator.handlers import registry_of
from smtp_gateway_operator.names import INSTANCE_LABEL, MANAGED_BY_LABEL, OPERATOR, Key, pod_labels
from smtp_gateway_operator.startup.process import Options, Process

if TYPE_CHECKING:
    from collections.abc import Callable

WATCHED = {GATEWAY, *WATCHED_KINDS}


class Recorder:
    """An operator that notes what it is told."""

    def __init__(self) -> None:
        """Start well, with nothing heard."""
        self.heard_of: list[tuple[Kind, Key, News]] = []
        self.steps: list[str] = []

    async def start(self) -> None:
        """Note it."""
        self.steps.append("start")

    async def stop(self) -> None:
        """Note it."""
        self.steps.append("stop")

    async def login(self, settings: kopf.OperatorSettings) -> kopf.AiohttpSession | None:
        """Have no credentials."""
        assert settings
        self.steps.append("login")
        return None

    def heard(self, kind: Kind, key: Key, news: News) -> None:
        """Note it."""
        self.heard_of.append((kind, key, news))


@pytest.fixture
def operator() -> Recorder:
    """An operator that only listens."""
    return Recorder()


@pytest.fixture
def registry(operator: Recorder) -> kopf.OperatorRegistry:
    """The handlers that call it."""
    return registry_of(operator)


def watching(registry: kopf.OperatorRegistry) -> dict[tuple[str | None, str | None, Any], Any]:
    """Return the handlers of events by group, version and plural."""
    handlers = registry._watching.get_all_handlers()  # noqa: SLF001 kopf has no other way to look at a registry
    found = {}
    for handler in handlers:
        assert handler.selector is not None
        found[handler.selector.group, handler.selector.version, handler.selector.any_name] = handler
    assert len(found) == len(handlers)
    return found


def activity(registry: kopf.OperatorRegistry, name: str) -> Callable[..., Any]:
    """Return what kopf calls at the start, the end, for a probe or a login."""
    handlers = registry._activities.get_all_handlers()  # noqa: SLF001 kopf has no other way to look at a registry
    (found,) = (handler.fn for handler in handlers if handler.id == name)
    return found


def test_exactly_the_gateway_and_its_children_are_watched(registry: kopf.OperatorRegistry) -> None:
    """One handler for each kind; children only with the operator's label, because everybody has Secrets and pods."""
    found = watching(registry)

    assert set(found) == {(kind.group, kind.version, kind.plural) for kind in WATCHED}
    for kind in WATCHED - {GATEWAY}:
        assert found[kind.group, kind.version, kind.plural].labels == {MANAGED_BY_LABEL: OPERATOR}
    assert found[GATEWAY.group, GATEWAY.version, GATEWAY.plural].labels is None


@pytest.mark.parametrize("others", ["_indexing", "_spawning", "_changing", "_webhooks"])
def test_kopf_writes_nothing(registry: kopf.OperatorRegistry, others: str) -> None:
    """Handlers of changes, daemons and timers would come with finalizers and annotations; there are none."""
    assert not getattr(registry, others).get_all_handlers()


async def test_a_change_of_a_gateway_is_heard_with_its_key(registry: kopf.OperatorRegistry, operator: Recorder) -> None:
    """Namespace and name are the key; whatever else kopf knows is not looked at."""
    handler = watching(registry)[GATEWAY.group, GATEWAY.version, GATEWAY.plural]

    body = {"metadata": {"name": "mail"}}
    event = {"type": "DELETED", "object": body}
    await handler.fn(name="mail", namespace="apps", event=event, type="DELETED", labels={}, body={}, retry=0)

    assert operator.heard_of == [(GATEWAY, Key("apps", "mail"), News(body, deleted=True))]


@pytest.mark.parametrize("kind", WATCHED_KINDS, ids=attrgetter("name"))
@pytest.mark.parametrize("told", ["MODIFIED", None])
async def test_a_change_of_a_child_concerns_its_gateway(
    registry: kopf.OperatorRegistry, operator: Recorder, kind: Kind, told: str | None
) -> None:
    """The key is that of the gateway that the child's label names, and not the child's own name; listed at the start or told later."""
    handler = watching(registry)[kind.group, kind.version, kind.plural]

    body = {"metadata": {"name": "mail-0"}}
    event = {"type": told, "object": body}
    await handler.fn(name="mail-0", namespace="apps", labels=pod_labels("mail"), event=event, body={})

    assert operator.heard_of == [(kind, Key("apps", "mail"), News(body))]


async def test_start_stop_and_login_are_the_operators(registry: kopf.OperatorRegistry, operator: Recorder) -> None:
    """What kopf calls around its watches is passed on."""
    await activity(registry, "start")(settings=kopf.OperatorSettings())
    assert await activity(registry, "login")(settings=kopf.OperatorSettings(), retry=0) is None
    await activity(registry, "stop")()
    assert operator.steps == ["start", "login", "stop"]


def test_two_registries_share_nothing(registry: kopf.OperatorRegistry) -> None:
    """Nothing is registered by importing a module."""
    assert len(watching(registry)) == len(watching(registry_of(Recorder()))) == len(WATCHED)
    assert not kopf.get_default_registry()._watching.get_all_handlers()  # noqa: SLF001 kopf has no other way to look at a registry


def test_a_process_that_does_not_work_yet_is_alive_and_takes_news() -> None:
    """Before the queue runs nothing is lost by what is heard, because the first round looks at every gateway."""
    process = Process(Options((), Images("example.com/smtp-gateway:1")))

    process.heard(SECRET, Key("apps", "mail"), News({"metadata": {"name": "mail-ca", "namespace": "apps"}}))

    assert process.health() == "starting"
    with pytest.raises(RuntimeError, match="the API server is not there yet"):
        process.ready()


def test_the_label_of_a_child_is_its_gateways_name() -> None:
    """What the handler reads is what the builders write."""
    assert pod_labels("mail")[INSTANCE_LABEL] == "mail"
