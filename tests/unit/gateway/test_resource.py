"""`SmtpGateway`: what is accepted, what is refused with which sentence, and what the pods are told."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import ValidationError

from smtp_gateway.config import model, pace
from smtp_gateway.config.certificate import new_authority
from smtp_gateway.config.resource import (
    SecretContentError,
    SmtpGateway,
    authority_in,
    authority_secret,
    to_config,
)
from tests.support.resources import gateway, refusal, secret


def test_a_hostname_is_all_that_is_needed() -> None:
    """The defaults are 587 and 2525 with STARTTLS, straight to the MX, five days, 25 MiB, 100 recipients, 1000 connections, 50 of a client."""
    config = to_config(gateway(), ())

    assert [(one.name, one.port, one.tls) for one in config.listeners] == [
        ("submission", 587, model.ListenerTls.START_TLS),
        ("alternative", 2525, model.ListenerTls.START_TLS),
    ]
    assert config.routes == (model.Route(name="default"),)
    assert config.lifetime == 5 * 86400
    assert config.limits == model.Limits(message_size=25 * 2**20, recipients=100, connections=1000, connections_per_client=50)


def test_client_certificates_are_translated() -> None:
    """Whoever bears a name sends as the login Secret's; the authority comes from a Secret of its own, without what is beside it."""
    logins = [
        {"secretRef": {"name": "billing"}, "certificateNames": ["billing.apps.svc", "spiffe://apps/billing"]},
        {"secretRef": {"name": "people"}},
    ]
    asking = gateway(tls={"clientCertificates": {"authorityRef": {"name": "clients-ca"}, "required": True}}, logins=logins)
    pem = new_authority("clients", datetime(2026, 1, 1, tzinfo=UTC)).certificate

    assert authority_secret(asking) == "clients-ca"
    assert authority_secret(gateway()) is None
    authority = authority_in(secret({"ca.crt": b"the clients' own\n" + pem, "ca.key": b"secret"}))
    assert authority == pem.decode()
    assert to_config(asking, (), authority).client_certificates == model.ClientCertificates(
        authority=authority,
        required=True,
        logins=tuple(model.CertifiedLogin(name=name, identity="billing") for name in ("billing.apps.svc", "spiffe://apps/billing")),
    )
    assert to_config(gateway(), ()).client_certificates is None


@pytest.mark.parametrize("data", [{}, {"ca.crt": b""}, {"ca.crt": b"no certificate"}, {"ca.crt": b"\xff"}, {"tls.crt": b"x"}])
def test_an_authority_that_is_none_is_told_by_the_secrets_name(data: dict[str, bytes]) -> None:
    """And without its contents."""
    with pytest.raises(SecretContentError, match=r"^Secret app-logins has no certificate under ca\.crt$"):
        authority_in(secret(data))


def test_a_certificate_name_is_one_logins() -> None:
    """Which of two it were would depend on their order."""
    logins = [{"secretRef": {"name": name}, "certificateNames": ["app.example"]} for name in ("one", "two")]
    asking = gateway(tls={"clientCertificates": {"authorityRef": {"name": "clients-ca"}}}, logins=logins)

    with pytest.raises(ValidationError, match=r"the same certificate name is used more than once: app\.example"):
        to_config(asking, (), "pem")


def test_routes_are_translated() -> None:
    """Matches, smarthosts, TLS and retry arrive in the configuration as written."""
    hop = {"host": "mx.corp.svc", "port": 2525, "tls": "Opportunistic", "priority": 10, "weight": 3, "alternatePorts": [587, 465]}
    internal = {
        "name": "internal",
        "match": {"recipientDomains": ["*.corp.example"], "senderDomains": ["billing.example"], "logins": ["app-logins"]},
        "smarthosts": [hop],
        "retry": {"initial": "5s", "maximum": "1h30m", "factorPercent": 150, "jitterPercent": 0, "lifetime": "2d"},
    }

    config = to_config(gateway(logins=[{"secretRef": {"name": "app-logins"}}], routes=[internal, {"name": "default", "tls": "Verify"}]), ())

    assert config.routes[0] == model.Route(
        name="internal",
        recipient_domains=("*.corp.example",),
        sender_domains=("billing.example",),
        logins=("app-logins",),
        smarthosts=(
            model.Smarthost(
                host="mx.corp.svc", port=2525, alternate_ports=(587, 465), tls=model.HopTls.OPPORTUNISTIC, priority=10, weight=3
            ),
        ),
        retry=pace.Retry(initial=5, maximum=5400, factor=1.5, jitter=0, lifetime=2 * 86400),
    )
    assert config.routes[1] == model.Route(name="default", tls=model.HopTls.VERIFY)


def test_listeners_without_a_login_are_translated() -> None:
    """Networks and domains arrive in the configuration; what a person acknowledged is the operator's affair."""
    relay = {
        "name": "relay",
        "port": 25,
        "tls": "Opportunistic",
        "auth": "None",
        "allowedNetworks": ["192.0.2.0/24", "2001:db8::/64"],
        "allowedRecipientDomains": ["*.corp.example"],
        "acknowledgedRisks": ["SourceNAT"],
    }

    (listener,) = to_config(gateway(listeners=[relay]), ()).listeners

    assert listener == model.Listener(
        name="relay",
        port=25,
        tls=model.ListenerTls.OPPORTUNISTIC,
        auth=model.ListenerAuth.NONE,
        allowed_networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/64")),
        allowed_recipient_domains=("*.corp.example",),
    )


@pytest.mark.parametrize(
    ("listener", "sentence"),
    [
        ({"auth": "None"}, "networks and recipient domains are allowed exactly where no login is required"),
        ({"allowedNetworks": ["192.0.2.0/24"]}, "networks and recipient domains are allowed exactly where no login is required"),
        ({"tls": "Opportunistic"}, "logins are taken under TLS only"),
    ],
)
def test_a_pod_loads_no_open_relay(listener: dict[str, Any], sentence: str) -> None:
    """Whatever rendered it, a configuration that would relay for everybody or take logins in the clear is refused."""
    with pytest.raises(ValidationError, match=sentence):
        model.Listener.model_validate({"name": "relay", "port": 25} | listener)


def test_what_is_left_out_is_as_the_gateway_has_it() -> None:
    """The schema's defaults are the configuration's: one curve, one lifetime, one reserve."""
    config = to_config(gateway(), ())

    assert config.routes[0].retry == pace.Retry()
    assert (config.lifetime, config.reserve) == (model.Config.model_fields["lifetime"].default, None)
    assert to_config(gateway(spool={"reserve": "64Mi"}), ()).reserve == 64 * 2**20


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"hostname": "mail"}, "spec.hostname: must be a fully qualified host name such as mail.example.com"),
        ({"hostname": "mail.example.com\n"}, "spec.hostname: must be a fully qualified host name such as mail.example.com"),
        ({"color": "red"}, "spec.color: Extra inputs are not permitted"),
        ({"listeners": [{"name": "a", "port": 25}, {"name": "b", "port": 25}]}, "spec.listeners: each listener needs a port of its own"),
        (
            {"listeners": [{"name": "Big", "port": 25}]},
            "spec.listeners[0].name: must be lower case letters, digits and dashes, a letter first",
        ),
        (
            {"listeners": [{"name": "relay", "port": 25, "auth": "None"}]},
            "spec.listeners[0]: auth: None needs allowedNetworks or allowedRecipientDomains: without either it would be an open relay",
        ),
        (
            {"listeners": [{"name": "a", "port": 25, "allowedNetworks": ["192.0.2.0/24"]}]},
            "spec.listeners[0]: allowedNetworks, allowedRecipientDomains and acknowledgedRisks need auth: None; who logs in sends from anywhere to anywhere",
        ),
        (
            {"listeners": [{"name": "a", "port": 25, "acknowledgedRisks": ["SourceNAT"]}]},
            "spec.listeners[0]: allowedNetworks, allowedRecipientDomains and acknowledgedRisks need auth: None; who logs in sends from anywhere to anywhere",
        ),
        (
            {"listeners": [{"name": "a", "port": 25, "tls": "None"}]},
            "spec.listeners[0]: tls: Opportunistic and None need auth: None, because logins are never taken in the clear",
        ),
        (
            {"listeners": [{"name": "relay", "port": 25, "auth": "None", "allowedNetworks": ["0.0.0.0/0"]}]},
            "spec.listeners[0].allowedNetworks[0]: must not be the whole Internet",
        ),
        (
            {"listeners": [{"name": "relay", "port": 25, "auth": "None", "allowedNetworks": ["::ffff:192.0.2.0/120"]}]},
            "spec.listeners[0].allowedNetworks[0]: must be a network such as 192.0.2.0/24, without host bits",
        ),
        (
            {"listeners": [{"name": "relay", "port": 25, "auth": "None", "allowedNetworks": ["fe80::%eth0/64"]}]},
            "spec.listeners[0].allowedNetworks[0]: must be a network such as 192.0.2.0/24, without host bits",
        ),
        (
            {"listeners": [{"name": "relay", "port": 25, "auth": "None", "allowedNetworks": ["192.0.2.1"]}]},
            "spec.listeners[0].allowedNetworks[0]: must be a network such as 192.0.2.0/24, without host bits",
        ),
        (
            {"routes": [{"name": "a"}, {"name": "b"}]},
            "spec.routes: only the last route may be without a match: routes behind one would never be used",
        ),
        (
            {"routes": [{"name": "a", "match": {}}, {"name": "b"}]},
            "spec.routes[0].match: a match needs recipientDomains, senderDomains or logins",
        ),
        (
            {"routes": [{"name": "a", "match": {"logins": ["typo"]}}, {"name": "b"}], "logins": [{"secretRef": {"name": "app"}}]},
            "spec: a route's match.logins must be Secrets that spec.logins names",
        ),
        (
            {"routes": [{"name": "a", "match": {"senderDomains": ["me@example.com"]}}, {"name": "b"}]},
            "spec.routes[0].match.senderDomains[0]: must be a domain such as example.com, or *.example.com for every domain beneath it",
        ),
        (
            {"routes": [{"name": "a", "smarthosts": [{"host": "mx", "port": 587, "alternatePorts": [2525, 587]}]}]},
            "spec.routes[0].smarthosts[0]: alternatePorts are other ports than port",
        ),
        (
            {"routes": [{"name": "a", "smarthosts": [{"host": "mx", "alternatePorts": [465], "tls": "None"}]}]},
            "spec.routes[0].smarthosts[0]: tls: None is not possible on port 465, where TLS comes first",
        ),
        (
            {"routes": [{"name": "a", "smarthosts": [{"host": "mx.example"}], "tls": "Verify"}]},
            "spec.routes[0]: tls is for routes without smarthosts: each smarthost has its own",
        ),
        ({"spool": {"lifetime": "0d"}}, "spec.spool.lifetime: must be longer than nothing"),
        ({"spool": {"reserve": "1Gi"}}, "spec.spool: the reserve must be smaller than the volume, or no mail could be taken"),
        ({"spool": {"volume": {"size": "0Gi"}}}, "spec.spool.volume.size: must be a whole quantity such as 500k, 25Mi or 5Gi"),
        (
            {"limits": {"messageSize": "129Mi"}},
            "spec.limits.messageSize: must be at least 64Ki, which RFC 5321 asks of every server, and at most 128Mi",
        ),
        ({"service": {"type": "ExternalName"}}, "spec.service.type: Input should be 'ClusterIP', 'NodePort' or 'LoadBalancer'"),
        (
            {"service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}},
            "spec.service: loadBalancerClass and loadBalancerSourceRanges need type LoadBalancer",
        ),
        (
            {"service": {"type": "NodePort", "loadBalancerClass": "a"}},
            "spec.service: loadBalancerClass and loadBalancerSourceRanges need type LoadBalancer",
        ),
        (
            {"service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"]}},
            "spec.service.loadBalancerSourceRanges[0]: must be a network such as 192.0.2.0/24, without host bits",
        ),
        ({"service": {"externalTrafficPolicy": "Local"}}, "spec.service: externalTrafficPolicy Local needs type NodePort or LoadBalancer"),
        (
            {"service": {"ipFamilies": ["IPv4", "IPv6"]}},
            "spec.service: two ipFamilies need ipFamilyPolicy PreferDualStack or RequireDualStack",
        ),
        ({"service": {"ipFamilies": ["IPv4", "IPv4"]}}, "spec.service.ipFamilies: each family once"),
        (
            {"service": {"labels": {"app.kubernetes.io/instance": "other"}}},
            "spec.service.labels: the labels app.kubernetes.io/name, instance, managed-by, component and version are the operator's own",
        ),
        (
            {"listeners": [{"name": "a", "port": 587, "nodePort": 30587}]},
            "spec: a listener's nodePort needs service.type NodePort or LoadBalancer",
        ),
        ({"networkPolicy": {"extraEgressPorts": [2525]}}, "spec.networkPolicy: extraEgressPorts need enabled: true"),
        (
            {"podTemplate": {"labels": {"app.kubernetes.io/name": "other"}}},
            "spec.podTemplate.labels: the labels app.kubernetes.io/name, instance, managed-by, component and version are the operator's own",
        ),
        (
            {"podTemplate": {"priorityClassName": "High Priority"}},
            "spec.podTemplate.priorityClassName: must be lower case letters, digits, dots and dashes",
        ),
        (
            {"tls": {"secretName": "mine", "certManager": {"issuerRef": {"name": "internal"}}}},
            "spec.tls: secretName and certManager exclude each other; without both the operator issues a certificate itself",
        ),
        (
            {"tls": {"secretName": "mine", "additionalSecretName": "mine"}},
            "spec.tls: additionalSecretName must be another Secret than secretName",
        ),
        (
            {"logins": [{"secretRef": {"name": "app"}, "certificateNames": ["app.example"]}], "tls": {"secretName": "mine"}},
            "spec: a login's certificateNames need tls.clientCertificates",
        ),
        (
            {"logins": [{"secretRef": {"name": "app"}, "certificateNames": ["Alice Liddell"]}]},
            "spec.logins[0].certificateNames[0]: must be a DNS name, a mail address or a URI as it stands in the certificate, in ASCII without spaces",
        ),
        (
            {"logins": [{"secretRef": {"name": "a"}}, {"secretRef": {"name": "b"}}, {"secretRef": {"name": "a"}}]},
            "spec.logins: each Secret of logins is named once",
        ),
        (
            {"logins": [{"secretRef": {"name": "a"}, "allowedSenders": ["example.com"]}]},
            "spec.logins[0].allowedSenders[0]: must be an address such as app@example.com, *@example.com for all of a domain, or *@*.example.com for every domain beneath it",
        ),
        (
            {"logins": [{"secretRef": {"name": "a"}, "allowedSenders": []}]},
            "spec.logins[0].allowedSenders: Tuple should have at least 1 item after validation, not 0",
        ),
        (
            {"logins": [{"secretRef": {"name": "Secret"}}]},
            "spec.logins[0].secretRef.name: must be the name of a Secret in the same namespace",
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(spec: dict[str, Any], sentence: str) -> None:
    """A refusal says where, and what to write instead."""
    assert refusal(**spec) == sentence


def test_a_family_of_addresses_can_be_turned_off() -> None:
    """Both are on by default; none is no choice."""
    assert to_config(gateway(), ()).ip_families == ("IPv4", "IPv6")
    assert to_config(gateway(delivery={"ipFamilies": ["IPv6"]}), ()).ip_families == ("IPv6",)
    assert refusal(delivery={"ipFamilies": []}) == "spec.delivery.ipFamilies: Tuple should have at least 1 item after validation, not 0"
    assert refusal(delivery={"ipFamilies": ["inet6"]}) == "spec.delivery.ipFamilies[0]: Input should be 'IPv4' or 'IPv6'"


def test_clients_can_be_left_out_of_headers() -> None:
    """They are told by default, as RFC 5321 wants it."""
    assert to_config(gateway(), ()).headers == model.Headers()
    assert to_config(gateway(headers={"clientAddress": "Omit"}), ()).headers.client_address is model.ClientAddress.OMIT
    assert refusal(headers={"clientAddress": "Hide"}) == "spec.headers.clientAddress: Input should be 'Full' or 'Omit'"


def test_bounces_are_translated() -> None:
    """By default senders are told, by the routes of other mail, and of a delay only those that asked."""
    routes = [{"name": "notices", "match": {"recipientDomains": ["x.example"]}}, {"name": "default"}]
    bounces = {"to": "Postmaster", "postmaster": "post.master+x@example.com", "route": "notices", "delayWarning": "1h30m"}

    assert to_config(gateway(), ()).bounces == model.Bounces()
    assert to_config(gateway(routes=routes, bounces=bounces), ()).bounces == model.Bounces(
        to=model.BounceTo.POSTMASTER, postmaster="post.master+x@example.com", route="notices", delay_warning=5400.0
    )


POSTMASTER_SENTENCE = "spec.bounces.postmaster: must be an address such as postmaster@example.com, in ASCII and without quotes"


@pytest.mark.parametrize(
    ("bounces", "sentence"),
    [
        ({"to": "Postmaster"}, "spec.bounces: to: Postmaster needs the postmaster's address"),
        *(
            ({"to": "Drop"} | more, "spec.bounces: with to: Drop nothing is sent: postmaster, route and delayWarning would have no effect")
            for more in ({"postmaster": "p@example.com"}, {"route": "default"}, {"delayWarning": "4h"})
        ),
        ({"route": "other"}, "spec: bounces.route must be the name of one of the routes"),
        ({"to": "Nobody"}, "spec.bounces.to: Input should be 'Sender', 'Postmaster' or 'Drop'"),
        ({"delayWarning": "0h"}, "spec.bounces.delayWarning: must be longer than nothing"),
        *(
            ({"postmaster": address}, POSTMASTER_SENTENCE)
            for address in (
                "postmaster",
                "p@x.example>\r\nRSET",
                "p@x\x00",
                "a b@x.example",
                "<p@x.example>",
                "pé@x.example",
                ".p@x.example",
                "@x.example",
            )
        ),
    ],
)
def test_bounces_that_could_not_be_sent_are_refused(bounces: dict[str, Any], sentence: str) -> None:
    """With a sentence; nothing that could reach SMTP as a command is an address."""
    assert refusal(bounces=bounces) == sentence


@pytest.mark.parametrize("bounces", [{"route": "other"}, {"to": "Postmaster"}])
def test_a_pod_loads_no_bounces_that_could_not_be_sent(bounces: dict[str, Any]) -> None:
    """The model holds what the resource's rules do."""
    routes = (model.Route(name="default"),)
    with pytest.raises(ValidationError, match="bounces"):
        model.Config(hostname="mail.example.com", listeners=(), routes=routes, bounces=model.Bounces.model_validate(bounces))


@pytest.mark.parametrize("amount", ["1", 1, "500m", "0.5", "1.5Gi", "128Mi", 0])
def test_amounts_are_numbers_or_quantities(amount: str | int) -> None:
    """People write `cpu: 1` as often as `cpu: 500m`, and both are what Kubernetes takes."""
    assert gateway(podTemplate={"resources": {"limits": {"cpu": amount}}}).spec.pod_template.resources.limits == {"cpu": amount}


@pytest.mark.parametrize("amount", ["", "-1", -1, "1 Gi", "1KB", "much", 0.5])
def test_what_is_no_amount_is_refused(amount: str | float) -> None:
    """A quantity that Kubernetes could not read is refused here."""
    assert "spec.podTemplate.resources.limits" in refusal(podTemplate={"resources": {"limits": {"cpu": amount}}})


@pytest.mark.parametrize("host", ["smtp.example.com", "mx", "192.0.2.1", "2001:db8::1", "sink.mail-sink.svc"])
def test_smarthosts_are_names_or_addresses(host: str) -> None:
    """Names with and without dots, and addresses of both families are hosts."""
    config = to_config(gateway(routes=[{"name": "default", "smarthosts": [{"host": host}]}]), ())

    assert config.routes[0].smarthosts[0].host == host


@pytest.mark.parametrize("host", ["", "smtp.example.com\r\nRSET", "a b", "<x>", "smtp..example.com", "-a.example"])
def test_nothing_that_could_reach_smtp_as_a_command_is_a_host(host: str) -> None:
    """A host with line ends, blanks or brackets is refused."""
    assert "must be a host name or an IP address" in refusal(routes=[{"name": "default", "smarthosts": [{"host": host}]}])


@pytest.mark.parametrize("name", ["x" * 53, "Mail", "mail.relay", "1mail", ""])
def test_a_name_that_cannot_name_pods_is_refused(name: str) -> None:
    """The resource's name is a Service's and a StatefulSet's name too."""
    with pytest.raises(ValidationError, match="the name must be at most 52 lower case letters"):
        SmtpGateway.model_validate({"metadata": {"name": name}, "spec": {"hostname": "mail.example.com"}})
