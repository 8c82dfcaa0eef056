"""Certificates in a real cluster: the operator's own authority, and cert-manager's resources judged by their own definitions."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from tests.cluster.conftest import conditions
from tests.support import cert_manager, world
from tests.support.gateways import Gateway
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kube import Kube

MAIL = world.message("app@example.com", ["one@example.net"], b"Subject: under TLS\r\n\r\n")


def test_clients_trust_a_config_map(gateway: Gateway) -> None:
    """What the ConfigMap says is enough to check the certificate, and it holds no key."""
    published = gateway.kube.get("configmap", f"{gateway.name}-ca")["data"]

    (outcome,) = gateway.submit(587, MAIL, authority=published["ca.crt"])

    assert outcome["code"] == 250
    assert set(published) == {"ca.crt"}
    assert "PRIVATE" not in json.dumps(published)


def test_an_authority_is_restored_from_a_backup(kube: Kube, operator: str, tmp_path: Path) -> None:
    """As docs/certificates.md says it: after a gateway was deleted and made again, clients trust what they trusted before."""
    assert operator
    gateway, backup = Gateway(kube, "restored", "sink.example"), tmp_path / "backup.json"
    gateway.create(replicas=0)
    try:
        before = published(gateway)
        backup.write_text(kube("get", "secret", "restored-ca", "-o", 'jsonpath={"{\\"data\\":"}{.data}{"}"}'))
        gateway.delete()
        eventually_sync(lambda: not kube.exists("secret", "restored-ca"), within=60, what="the authority is gone", pause=0.5)
        gateway.create(replicas=0)
        assert published(gateway) != before

        kube("patch", "secret", "restored-ca", "--type=merge", "--patch-file", str(backup))

        eventually_sync(lambda: published(gateway) == before, within=30, what="the authority is published", pause=0.2)
        eventually_sync(lambda: shown(gateway) == before, within=30, what="the certificate is signed by it", pause=0.2)
    finally:
        gateway.delete()


def published(gateway: Gateway) -> str:
    """Return what clients are told to trust."""
    return str(gateway.kube.get("configmap", f"{gateway.name}-ca")["data"]["ca.crt"])


def shown(gateway: Gateway) -> str:
    """Return the authority beside the listeners' certificate."""
    return base64.b64decode(gateway.kube.get("secret", f"{gateway.name}-tls")["data"]["ca.crt"]).decode()


@pytest.fixture
def issued(kube: Kube, sink: Kube, operator: str) -> Iterator[Gateway]:
    """A gateway that asks cert-manager, in a cluster that has none."""
    assert operator
    gateway = Gateway(kube, "issued", f"sink.{sink.namespace}.svc")
    try:
        kube.apply(*gateway.manifest(tls={"certManager": {"issuerRef": {"name": "internal"}}}))
        yield gateway
    finally:
        gateway.delete()
        for path in cert_manager.definitions():
            kube("delete", "-f", str(path), "--ignore-not-found", "--timeout=60s")


@pytest.mark.lab  # it installs and removes cert-manager's definitions, which somebody else's cluster may use
@pytest.mark.timeout(600)
def test_a_certificate_from_cert_manager(issued: Gateway) -> None:
    """Absent, asked, refused, issued and renewed: each is in the condition, and a renewed certificate is shown without a restart."""
    issued.wait("jsonpath={.status.conditions[?(@.type=='ReferencesResolved')].reason}=CertManagerAbsent", within=60)

    for path in cert_manager.definitions():
        issued.kube("apply", "--server-side", "-f", str(path))
        issued.kube("wait", "--for=condition=Established", "-f", str(path), "--timeout=60s")
    issued.wait("jsonpath={.status.conditions[?(@.type=='ReferencesResolved')].reason}=CertificatePending", within=90)
    issuer = cert_manager.Issuer(issued.kube)
    issuer.refuse(issued.name, "no such issuer: internal")
    eventually_sync(lambda: "no such issuer: internal" in told(issued), within=90, what="cert-manager's words are told", pause=0.5)

    first = issuer.fulfil(issued.name)
    issued.wait("condition=Ready")
    before = issued.kube.get("pod", issued.pod)["metadata"]["uid"]
    assert accepted(issued, first)

    second = issuer.fulfil(issued.name)
    eventually_sync(lambda: accepted(issued, second), within=300, what="the renewed certificate is shown", pause=2)
    pod = issued.kube.get("pod", issued.pod)
    assert pod["metadata"]["uid"] == before
    assert sum(one["restartCount"] for one in pod["status"]["containerStatuses"]) == 0
    assert conditions(issued.kube.get("smtpgateway", issued.name)["status"])["ReferencesResolved"] == ("True", "Resolved")

    issued.kube.apply(issued.manifest()[1])
    eventually_sync(lambda: not issued.kube.exists("certificate", issued.name), within=60, what="the Certificate is gone", pause=0.5)


def told(gateway: Gateway) -> str:
    """Return the gateway's conditions as text."""
    return json.dumps(gateway.kube.get("smtpgateway", gateway.name)["status"]["conditions"])


def accepted(gateway: Gateway, authority: str) -> bool:
    """Tell whether a client that trusts *authority* alone can send to the gateway by its hostname."""
    service = f"{gateway.name}.{gateway.kube.namespace}.svc"
    (outcome,) = gateway.submit(587, MAIL, authority=authority, host="mail.example.com", via=[service, 587])
    return bool(outcome["code"] == 250)
