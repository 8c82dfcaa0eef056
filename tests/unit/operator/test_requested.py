"""A certificate from cert-manager: asked for, waited for, mounted, and given up; what is told when there is no cert-manager."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway_operator.cluster.api import CERTIFICATE, CONFIG_MAP, SECRET, STATEFUL_SET
from smtp_gateway_operator.cluster.memory import Call
from tests.unit.operator.setting import KEY, LOGINS, Setting, ref, resource, secret

WANTED = {"certManager": {"issuerRef": {"name": "internal"}, "extraDnsNames": ["mail.apps.svc", "mail.example.com"]}}
ISSUED = secret("mail-certificate", kind="kubernetes.io/tls", **{"tls.crt": "certificate", "tls.key": "key"})
LISTED = Call("list", CERTIFICATE)


@pytest.fixture
async def setting() -> Setting:
    """A gateway that wants its certificate from cert-manager, where there is one."""
    setting = Setting()
    await setting.given(resource(logins=LOGINS, tls=WANTED), secret("app", alice="wonderland"))
    return setting


async def mounted(setting: Setting) -> Any:
    """Return the name of the Secret whose certificate the pods show."""
    volumes = (await setting.get(STATEFUL_SET))["spec"]["template"]["spec"]["volumes"]
    return next(one for one in volumes if one["name"] == "tls")["secret"]["secretName"]


async def test_it_is_asked_for_before_anything_else(setting: Setting) -> None:
    """Each name once, the hostname first; pods come only when there is something for them to show."""
    assert await setting.put_off()

    certificate = (await setting.get(CERTIFICATE))["spec"]
    assert certificate["dnsNames"] == ["mail.example.com", "mail.apps.svc"]
    assert certificate["issuerRef"] == {"name": "internal", "kind": "Issuer", "group": "cert-manager.io"}
    assert certificate["secretName"] == ISSUED["metadata"]["name"]
    assert not await setting.exists(STATEFUL_SET, "mail")


async def test_what_cert_manager_says_is_told(setting: Setting) -> None:
    """While nothing is issued the condition repeats why, and the gateway is looked at again."""
    await setting.put_off()
    assert (await setting.condition("ReferencesResolved"))[1:] == (
        "CertificatePending",
        "Certificate mail is not issued: cert-manager has not looked at it yet",
    )

    why = 'Referenced "Issuer" not found: issuer.cert-manager.io "internal" not found'
    conditions = [{"type": "Issuing", "status": "True"}, {"type": "Ready", "status": "False", "message": why}]
    await setting.cluster.patch_status(ref(CERTIFICATE), {"conditions": conditions})

    assert await setting.put_off()
    assert await setting.condition("ReferencesResolved") == ("False", "CertificatePending", f"Certificate mail is not issued: {why}")


async def test_what_was_issued_is_mounted(setting: Setting) -> None:
    """The operator makes nothing of its own then, and never writes to cert-manager's Secret."""
    await setting.given(ISSUED)
    before = await setting.get(SECRET, "mail-certificate")

    assert not await setting.put_off()

    assert await mounted(setting) == "mail-certificate"
    assert not await setting.exists(SECRET, "mail-tls")
    assert not await setting.exists(CONFIG_MAP, "mail-ca")
    assert await setting.get(SECRET, "mail-certificate") == before


async def test_without_cert_manager_it_is_said_and_noticed_when_it_comes(setting: Setting) -> None:
    """The condition says what is missing in so many words; once cert-manager is installed the gateway goes on by itself."""
    setting.cluster.know(CERTIFICATE, known=False)

    assert await setting.put_off()
    assert await setting.condition("ReferencesResolved") == (
        "False",
        "CertManagerAbsent",
        "spec.tls.certManager needs cert-manager: the API server does not know Certificates of cert-manager.io",
    )

    setting.cluster.know(CERTIFICATE, known=True)
    await setting.put_off()
    assert (await setting.condition("ReferencesResolved"))[1] == "CertificatePending"


@pytest.mark.parametrize("tls", [None, {"secretName": "mine"}])
async def test_it_is_given_up_when_another_is_wanted(setting: Setting, tls: dict[str, str] | None) -> None:
    """The Certificate goes, so that cert-manager does not renew for ever; what it wrote stays."""
    await setting.given(ISSUED, secret("mine", **{"tls.crt": "a", "tls.key": "b"}))
    await setting.put_off()
    await setting.change(tls=tls if tls is None else tls | {"certManager": None})

    await setting.restarted()(KEY)

    assert not await setting.exists(CERTIFICATE, "mail")
    assert await setting.exists(SECRET, "mail-certificate")
    assert await mounted(setting) == ("mine" if tls else "mail-tls")


@pytest.mark.parametrize("known", [True, False])
async def test_nobody_asks_for_certificates_that_nobody_wants(setting: Setting, *, known: bool) -> None:
    """A gateway without cert-manager is asked about once in the life of the process, and not at every look."""
    await setting.change(tls=None)
    setting.cluster.know(CERTIFICATE, known=known)

    for _ in range(3):
        await setting.put_off()

    assert setting.cluster.calls.count(LISTED) == 1


async def test_somebody_elses_certificate_is_left_alone(setting: Setting) -> None:
    """A Certificate of the gateway's name that somebody made by hand is a conflict, and not seized."""
    await setting.given(
        {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "mail", "namespace": "apps"}, "spec": {}}
    )

    assert await setting.put_off()
    assert (await setting.condition("Progressing"))[1] == "OwnershipConflict"
    assert (await setting.get(CERTIFICATE))["spec"] == {}


async def test_the_authority_is_published_for_clients(setting: Setting) -> None:
    """What the operator issues can be checked with a ConfigMap that holds no secret, and that says what `ca.crt` beside the pair says."""
    await setting.change(tls=None)
    await setting.put_off()

    published = (await setting.get(CONFIG_MAP, "mail-ca"))["data"]
    assert set(published) == {"ca.crt"}
    assert published["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE" not in published["ca.crt"]


async def test_a_successor_is_published_before_it_signs(setting: Setting) -> None:
    """After two thirds of the authority's life the ConfigMap names two, and the pods show what they showed."""
    await setting.change(tls=None)
    await setting.put_off()
    alone = (await setting.get(CONFIG_MAP, "mail-ca"))["data"]["ca.crt"]
    setting.later(days=2434)

    await setting.put_off()

    both = (await setting.get(CONFIG_MAP, "mail-ca"))["data"]["ca.crt"]
    assert both.startswith(alone)
    assert both.count("BEGIN CERTIFICATE") == 2
    before = await setting.versions()
    await setting.put_off()
    assert await setting.versions() == before
