"""What kopf calls, each handler one call long: kopf watches and logs in; everything else happens behind `Operator`.

Only `@kopf.on.event` handlers, so kopf writes nothing to any object: no finalizer, no annotation, and a resource can always be deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import kopf

from smtp_gateway_operator.cluster.api import GATEWAY, WATCHED_KINDS, Kind, News
from smtp_gateway_operator.names import INSTANCE_LABEL, MANAGED_BY_LABEL, OPERATOR, Key

if TYPE_CHECKING:
    from collections.abc import Mapping


class Operator(Protocol):
    """What the handlers call."""

    async def start(self) -> None:
        """Begin to work."""

    async def stop(self) -> None:
        """Finish and let go of everything."""

    async def login(self, settings: kopf.OperatorSettings) -> kopf.AiohttpSession | None:
        """Return a session with the API server, with the credentials of this moment; None when there are none."""

    def heard(self, kind: Kind, key: Key, news: News) -> None:
        """Take note that something about the gateway changed."""


def registry_of(operator: Operator) -> kopf.OperatorRegistry:
    """Return a registry of its own with every handler, so that nothing is registered by importing a module."""
    registry = kopf.OperatorRegistry()
    _register_activities(operator, registry)

    # kopf hands over some twenty arguments by name and demands that handlers take them all.
    @kopf.on.event(GATEWAY.group, GATEWAY.version, GATEWAY.plural, registry=registry)
    async def gateway_changed(name: str, namespace: str | None, event: Mapping[str, Any], **_: Any) -> None:
        operator.heard(GATEWAY, Key(namespace or "", name), _news(event))

    for kind in WATCHED_KINDS:
        _register_child(operator, registry, kind)
    return registry


def _register_activities(operator: Operator, registry: kopf.OperatorRegistry) -> None:
    @kopf.on.startup(id="start", registry=registry)
    async def start(**_: Any) -> None:
        await operator.start()

    @kopf.on.cleanup(id="stop", registry=registry)
    async def stop(**_: Any) -> None:
        await operator.stop()

    @kopf.on.login(id="login", registry=registry)
    async def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.AiohttpSession | None:
        return await operator.login(settings)


def _register_child(operator: Operator, registry: kopf.OperatorRegistry, kind: Kind) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, labels={MANAGED_BY_LABEL: OPERATOR})
    async def child_changed(labels: Mapping[str, str], namespace: str | None, event: Mapping[str, Any], **_: Any) -> None:
        operator.heard(kind, Key(namespace or "", labels.get(INSTANCE_LABEL, "")), _news(event))


def _news(event: Mapping[str, Any]) -> News:
    return News(event["object"], deleted=event["type"] == "DELETED")
