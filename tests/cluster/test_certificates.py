"""Certificates in a real cluster: the operator's own authority, and cert-manager's resources judged by their own definitions."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest
import trustme
from cryptography import x509

from tests.cluster.conftest import conditions
from tests.support import cert_manager, world
from tests.support.gateways import Gateway
from tests.support.stream import Stream
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


AUTHORITY = trustme.CA()
"""Who signs the certificates that a user brings."""


@pytest.fixture(scope="module")
def brought(kube: Kube, sink: Kube, operator: str) -> Iterator[Gateway]:
    """A gateway that shows two certificates of a user's, ECDSA and RSA, on 587 and on 465 under implicit TLS; tests leave it as well as it was."""
    assert operator
    gateway = Gateway(kube, "brought", f"sink.{sink.namespace}.svc")
    replace(gateway, "brought-ecdsa")
    replace(gateway, "brought-rsa")
    listeners = [{"name": "submission", "port": 587}, {"name": "submissions", "port": 465, "tls": "Implicit"}]
    try:
        gateway.create(listeners=listeners, tls={"secretName": "brought-ecdsa", "additionalSecretName": "brought-rsa"})
        yield gateway
    finally:
        gateway.delete()
        kube("delete", "secret", "brought-ecdsa", "brought-rsa", "--ignore-not-found")


@pytest.mark.timeout(900)
def test_certificates_are_replaced_under_load(brought: Gateway) -> None:
    """No session of either listener fails while both Secrets are replaced, and the new certificates are seen without a restart."""
    pem = AUTHORITY.cert_pem.bytes().decode()
    before = brought.kube.get("pod", brought.pod)["metadata"]["uid"]
    with (
        Stream(brought, "started", authority=pem) as started,
        Stream(brought, "implicit", 465, authority=pem, tls="Implicit") as implicit,
    ):
        eventually_sync(lambda: started.acknowledged and implicit.acknowledged, within=60, what="mail is taken on both ports", pause=0.5)
        ecdsa, rsa = replace(brought, "brought-ecdsa"), replace(brought, "brought-rsa")
        both = (started, implicit)
        mounted(brought, lambda: all(ecdsa in one.serials for one in both), "the new certificate is shown")
        context = {"authority": pem, "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"}
        mounted(brought, lambda: brought.submit(587, MAIL, **context)[0]["serial"] == rsa, "and the second one")

    assert [(one.refused, len(one.serials)) for one in both] == [(0, 2), (0, 2)]
    pod = brought.kube.get("pod", brought.pod)
    assert pod["metadata"]["uid"] == before
    assert sum(one["restartCount"] for one in pod["status"]["containerStatuses"]) == 0


def test_an_unusable_certificate_is_reported_and_the_old_one_stays(brought: Gateway) -> None:
    """CertificateValid says which pair cannot be used; mail goes on; a good pair makes it True again."""
    pem = AUTHORITY.cert_pem.bytes().decode()
    serial = brought.submit(587, MAIL, authority=pem)[0]["serial"]
    secret = brought.kube.get("secret", "brought-rsa")
    other = AUTHORITY.issue_cert("mail.example.com", key_type=trustme.KeyType.RSA).private_key_pem.bytes()
    patch = {"data": {"tls.key": base64.b64encode(other).decode()}}
    brought.kube("patch", "secret", "brought-rsa", "--type=merge", "-p", json.dumps(patch))

    mounted(brought, lambda: certificate(brought) == ("False", "NewPairUnusable"), "it is told")
    assert "additional.crt" in told(brought)
    assert brought.submit(587, MAIL, authority=pem)[0] == {"code": 250, "reply": ANY, "serial": serial}

    brought.kube("patch", "secret", "brought-rsa", "--type=merge", "-p", json.dumps({"data": secret["data"]}))
    mounted(brought, lambda: certificate(brought) == ("True", "Valid"), "all is well again")


def certificate(gateway: Gateway) -> tuple[str, str]:
    """Return status and reason of CertificateValid."""
    return conditions(gateway.kube.get("smtpgateway", gateway.name)["status"])["CertificateValid"]


def mounted(gateway: Gateway, seen: Callable[[], object], what: str) -> None:
    """Wait until a change of a mounted Secret is *seen*. The kubelet would take its time for the Secret: it is made to look."""

    def looked() -> bool:
        gateway.refresh()
        return bool(seen())

    eventually_sync(looked, within=300, what=what, pause=2)


def replace(gateway: Gateway, secret: str) -> str:
    """Put a new pair into *secret*, whose name says of which type; return the serial number as clients see it."""
    kind = trustme.KeyType.RSA if secret.endswith("rsa") else trustme.KeyType.ECDSA
    leaf = AUTHORITY.issue_cert("mail.example.com", f"{gateway.name}.{gateway.kube.namespace}.svc", key_type=kind)
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    files = {"tls.crt": chain, "tls.key": leaf.private_key_pem.bytes()}
    data = {file: base64.b64encode(content).decode() for file, content in files.items()}
    gateway.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "type": "kubernetes.io/tls", "data": data})
    number = f"{x509.load_pem_x509_certificate(chain).serial_number:X}"
    return number.zfill(len(number) + len(number) % 2)


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
    mounted(issued, lambda: accepted(issued, second), "the renewed certificate is shown")
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
