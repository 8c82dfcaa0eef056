"""A namespace that is deleted with a gateway in it: nothing of the operator's holds it, and the operator takes it for no failure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.conftest import CHART, RELEASE
from tests.support import world
from tests.support.gateways import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kube import Kube


@pytest.fixture
def everywhere(kube: Kube, operator: str) -> Iterator[None]:
    """The operator serves every namespace for a while."""
    assert operator
    serve(kube, everywhere=True)
    yield
    serve(kube, everywhere=False)


def serve(kube: Kube, *, everywhere: bool) -> None:
    """Let the operator serve every namespace, or its own alone."""
    wide = f"clusterWide={str(everywhere).lower()}"
    kube.helm("upgrade", RELEASE, CHART, "--reuse-values", "--set", wide, "--wait", "--timeout=180s")


@pytest.fixture
def leaving(kube: Kube) -> Iterator[Kube]:
    """Another namespace, which is gone afterwards."""
    leaving = kube.within(f"{kube.namespace}-leaving")
    leaving.apply(world.namespace(leaving.namespace))
    yield leaving
    leaving("delete", "namespace", leaving.namespace, "--ignore-not-found", "--wait=false")


def logged(kube: Kube, since: str) -> list[dict[str, Any]]:
    """Return what the operator has logged; a line that is no JSON, such as of a traceback, is an error."""
    lines = kube("logs", f"deployment/{RELEASE}", f"--since-time={since}").splitlines()
    return [json.loads(line) if line.startswith("{") else {"level": "error", "event": line} for line in lines]


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("everywhere")
def test_a_namespace_goes_with_its_gateway(kube: Kube, sink: Kube, leaving: Kube) -> None:
    """Within two minutes, and the operator has nothing to say that would have somebody look for a fault."""
    Gateway(leaving, "leaving", f"sink.{sink.namespace}.svc").create(replicas=2)
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    kube("delete", "namespace", leaving.namespace, "--timeout=120s")

    told = logged(kube, since)
    assert [line for line in told if line["level"] not in {"info", "warning"}] == []
    assert [line for line in told if "being terminated" in str(line)] == []
