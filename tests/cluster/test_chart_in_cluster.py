"""Installed in a cluster: `helm test` sends a mail through a gateway, and the kustomize base is an operator at work."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.conftest import CHART, image_values
from tests.support import world
from tests.support.gateways import Gateway
from tests.support.kube import CommandError
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kube import Kube

OVERLAY = Path("examples/kustomize/kustomization.yaml")
POD = "smtp-gateway-operator-test"


def prepare(gateway: Gateway, release: str, images: dict[str, str], **changed: str) -> None:
    """Tell *release* which gateway to test; nothing else of it changes."""
    test = {"gateway": gateway.name, "credentialsSecret": f"{gateway.name}-logins", "login": "app"}
    test |= {"sender": "app@example.com", "recipient": "helm-test@example.net"} | changed
    values = f"--set-json=test={json.dumps(test)}"
    gateway.kube.helm("upgrade", release, CHART, "--reset-then-reuse-values", values, "--wait", "--timeout=120s", *image_values(images))


def operator_pods(kube: Kube) -> set[str]:
    """Return the pods of the operator by their uid."""
    pods: list[dict[str, Any]] = kube.get("pod", "-l", "app.kubernetes.io/name=smtp-gateway-operator")
    return {one["metadata"]["uid"] for one in pods}


@pytest.mark.timeout(200)
def test_helm_test_sends_a_mail_through_a_gateway(gateway: Gateway, sink: Kube, operator: str, images: dict[str, str]) -> None:
    """The mail arrives; a login that does not exist fails with one sentence, also in the pod's status. The operator is not restarted for it."""
    before = operator_pods(gateway.kube)
    prepare(gateway, operator, images)

    said = gateway.kube.helm("test", operator, "--logs", "--timeout=60s")

    assert f"{gateway.name}.{gateway.kube.namespace}.svc:587 took a mail from app@example.com to helm-test@example.net: 250" in said
    eventually_sync(lambda: ("helm-test@example.net",) in {one.recipients for one in world.received(sink)}, within=60, pause=0.5)

    prepare(gateway, operator, images, login="nobody")
    with pytest.raises(CommandError):
        gateway.kube.helm("test", operator, "--timeout=60s")
    (container,) = gateway.kube.get("pod", POD)["status"]["containerStatuses"]
    sentence = f"The Secret {gateway.name}-logins is not there, or has no password for the login nobody."
    assert container["state"]["terminated"]["message"].strip() == sentence
    assert operator_pods(gateway.kube) == before


@pytest.fixture
def elsewhere(kube: Kube) -> Iterator[Kube]:
    """A namespace without an operator."""
    other = kube.within(f"{kube.namespace}-kustomize")
    other.apply(world.namespace(other.namespace))
    yield other
    other("delete", "namespace", other.namespace, "--wait=false")


@pytest.fixture
def overlay(elsewhere: Kube, images: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """The example's overlay for that namespace and this checkout's images, with names that nobody else's installation has."""
    text = OVERLAY.read_text().replace("namespace: mail", f"namespace: {elsewhere.namespace}")
    name, _, tag = images["operator"].rpartition(":")
    text = text.replace("registry.example/smtp-gateway-operator", name).replace("newTag: 0.1.0", f"newTag: {tag}")
    text = text.replace("registry.example/smtp-gateway:0.1.0", images["gateway"])
    text = text.replace("../../charts/kustomize", os.path.relpath("charts/kustomize", tmp_path))
    suffix = f"-{secrets.token_hex(3)}"
    (tmp_path / OVERLAY.name).write_text(f"{text}nameSuffix: {suffix}\n")
    yield tmp_path
    elsewhere("delete", "clusterrole", *(f"smtp-gateway-operator-{role}{suffix}" for role in ("view", "edit")))


@pytest.mark.timeout(200)
@pytest.mark.usefixtures("operator")
def test_the_kustomize_base_is_an_operator_at_work(elsewhere: Kube, overlay: Path) -> None:
    """`kubectl apply -k` of the example, changed as its comment says, brings an operator that makes a gateway of a resource beside it."""
    elsewhere("apply", "-k", str(overlay))
    elsewhere("wait", "--for=condition=Available", "deployment", "--all", "--timeout=120s")

    elsewhere.apply(*Gateway(elsewhere, "mail", "sink.example").manifest(replicas=0))

    elsewhere("wait", "--for=jsonpath={.status.observedGeneration}=1", "smtpgateway/mail", "--timeout=60s")
    assert elsewhere.exists("statefulset", "mail")
    elsewhere("delete", "smtpgateway", "mail", "--timeout=60s")
