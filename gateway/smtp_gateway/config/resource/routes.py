"""Where mail goes: routes, the servers that they name, and when a delivery is tried again."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from smtp_gateway.config.habits import Model
from smtp_gateway.config.model import SUBMISSIONS_PORT, HopTls, Port
from smtp_gateway.config.resource.pacing import PACING_RULE, Pacing
from smtp_gateway.config.resource.rewriting import Rewrite
from smtp_gateway.config.resource.words import Duration, Host, MailDomain, Name, SecretName, SecretReference
from smtp_gateway.config.rules import Rule


class Match(Model):
    """Which mail a route is for: mail that all the parts match that are given."""

    recipient_domains: Annotated[tuple[MailDomain, ...], Field(min_length=1, max_length=100)] | None = Field(
        default=None,
        description="Domains of recipients; *.example.com means every domain beneath example.com, not itself.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    sender_domains: Annotated[tuple[MailDomain, ...], Field(min_length=1, max_length=100)] | None = Field(
        default=None,
        description="Domains of senders, those of the envelope; *.example.com as in recipientDomains. Bounces have no sender, so none of these matches them.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    logins: Annotated[tuple[SecretName, ...], Field(min_length=1, max_length=16)] | None = Field(
        default=None,
        description="Names of Secrets in spec.logins: mail that was sent with one of their logins.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


MATCH_RULE = Rule(
    "has(self.recipientDomains) || has(self.senderDomains) || has(self.logins)",
    "a match needs recipientDomains, senderDomains or logins",
    lambda match: not (match.recipient_domains is None and match.sender_domains is None and match.logins is None),
)


class Smarthost(Model):
    """A mail server that takes mail for others."""

    host: Host = Field(description="Name or address of the server.")
    port: Port = Field(default=25, description="Port of the server. On 465 TLS comes first (RFC 8314), on others STARTTLS is used.")
    alternate_ports: Annotated[tuple[Port, ...], Field(max_length=4)] = Field(
        default=(),
        description="Further ports of the server, tried in this order when nobody answers on port, as where networks block port 25. The one that answers is used until port does again.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    tls: HopTls = Field(
        default=HopTls.VERIFY,
        description="Verify: TLS always, and the certificate must be valid for the host. Required: TLS always, any certificate. Opportunistic: TLS when offered. None: never.",
    )
    priority: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=0, description="Servers with a lower number are tried first; those with the same one by their weight."
    )
    weight: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=0,
        description="Share of the attempts among servers of the same priority: one with weight 20 is tried first twice as often as one with 10. Those with 0 come after these, in the order of the list.",
    )
    credentials_ref: SecretReference | None = Field(
        default=None,
        description="Secret with the username and password that the server wants, under the keys username and password, as one of type kubernetes.io/basic-auth has them; or, for OAuth 2.0, with username, tokenUrl, clientId, and clientSecret or refreshToken or both, and scope if need be. They are sent under TLS only, so tls must be Verify or Required. Without it mail is sent without authentication.",
    )

    client_certificate_ref: SecretReference | None = Field(
        default=None,
        description="Secret of type kubernetes.io/tls with the certificate, tls.crt and tls.key, that the gateway shows when the server asks for one. Where the server offers AUTH EXTERNAL and there is no credentialsRef, it takes the place of a password. tls must be Verify or Required. A renewed certificate is used without a restart.",
    )
    authority_ref: SecretReference | None = Field(
        default=None,
        description="Secret with ca.crt: the certificates, PEM, of those who sign the server's, instead of the public authorities. Only this key of it is read. tls must be Verify.",
    )


CREDENTIALS_RULE = Rule(
    "!has(self.credentialsRef) || self.tls in ['Verify', 'Required']",
    "credentials are sent under TLS only: with credentialsRef, tls must be Verify or Required",
    lambda hop: hop.credentials_ref is None or hop.tls in {HopTls.VERIFY, HopTls.REQUIRED},
)
CLIENT_CERTIFICATE_RULE = Rule(
    "!has(self.clientCertificateRef) || self.tls in ['Verify', 'Required']",
    "a certificate is shown under TLS only: with clientCertificateRef, tls must be Verify or Required",
    lambda hop: hop.client_certificate_ref is None or hop.tls in {HopTls.VERIFY, HopTls.REQUIRED},
)
AUTHORITY_RULE = Rule(
    "!has(self.authorityRef) || self.tls == 'Verify'",
    "authorityRef needs tls: Verify; otherwise nobody asks who signed the server's certificate",
    lambda hop: hop.authority_ref is None or hop.tls is HopTls.VERIFY,
)
ALTERNATE_PORTS_RULE = Rule(
    "!(self.port in self.alternatePorts)",
    "alternatePorts are other ports than port",
    lambda smarthost: smarthost.port not in smarthost.alternate_ports,
)
IMPLICIT_TLS_RULE = Rule(
    f"self.tls != 'None' || (self.port != {SUBMISSIONS_PORT} && !({SUBMISSIONS_PORT} in self.alternatePorts))",
    f"tls: None is not possible on port {SUBMISSIONS_PORT}, where TLS comes first",
    lambda smarthost: smarthost.tls is not HopTls.NONE or SUBMISSIONS_PORT not in {smarthost.port, *smarthost.alternate_ports},
)
SAME_SMARTHOST_RULE = Rule(
    "self.all(one, self.filter(other, other.host == one.host && other.port == one.port"
    " && has(other.credentialsRef) == has(one.credentialsRef)"
    " && (!has(one.credentialsRef) || other.credentialsRef.name == one.credentialsRef.name)).size() == 1)",
    "the smarthosts of a route differ in host, port or credentialsRef: to have one tried more often, give it a weight",
    lambda smarthosts: (
        len(smarthosts) == len({(one.host, one.port, one.credentials_ref and one.credentials_ref.name) for one in smarthosts})
    ),
)
SafeSmarthost = Annotated[Smarthost, CREDENTIALS_RULE, CLIENT_CERTIFICATE_RULE, AUTHORITY_RULE, ALTERNATE_PORTS_RULE, IMPLICIT_TLS_RULE]


class Retry(Model):
    """When mail that could not be delivered yet is tried again, and for how long."""

    initial: Duration = Field(default="30s", description="Wait after the first attempt.")
    maximum: Duration = Field(default="1h", description="The longest wait between two attempts.")
    factor_percent: Annotated[int, Field(ge=100, le=1000)] = Field(
        default=200,
        description="Each wait in percent of the one before: with 200 it doubles, with 150 it grows by half, with 100 all are alike.",
    )
    jitter_percent: Annotated[int, Field(ge=0, le=50)] = Field(
        default=25,
        description="Each wait is shortened at random by up to this part, so that mail which failed together does not come back together.",
    )
    lifetime: Duration | None = Field(
        default=None,
        description="How long mail on this route is tried before it goes back to its sender; as long as spool.lifetime says when absent.",
    )


class Route(Model):
    """Where mail goes. Each recipient takes the first route that matches it and who sends to it."""

    name: Name = Field(description="Name of the route in logs and metrics.")
    match: Annotated[Match, MATCH_RULE] | None = Field(
        default=None, description="Which mail takes this route. Every route but the last has one."
    )
    smarthosts: Annotated[tuple[SafeSmarthost, ...], Field(max_length=16), SAME_SMARTHOST_RULE] = Field(
        default=(),
        description="Servers that take this mail, none of them twice, tried one after another until one can be reached: by priority and weight, else in this order. One that could not be reached lately is tried last. Without any, mail goes to the MX of the recipient's domain on port 25.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    tls: HopTls | None = Field(
        default=None,
        description="For a route without smarthosts, how connections to mail exchangers are encrypted; a smarthost has its own setting. Opportunistic, also when absent: TLS when offered, any certificate, in the clear otherwise. Required: TLS always, any certificate. Verify: TLS always, and the certificate must be valid for the name of the mail exchanger, which without DNSSEC anybody can forge who can forge answers of the DNS. None: never.",
    )
    retry: Retry = Field(default=Retry(), description="How often mail on this route is tried again.")
    pacing: Annotated[Pacing, PACING_RULE] | None = Field(
        default=None,
        description="How fast mail may leave on this route, by all pods together. What may not go yet waits, which is no failure and no attempt.",
    )
    rewrite: Rewrite | None = Field(default=None, description="Who mail on this route is from; as it was sent when absent.")


TLS_OF_ROUTE_RULE = Rule(
    "!has(self.tls) || !has(self.smarthosts) || size(self.smarthosts) == 0",
    "tls is for routes without smarthosts: each smarthost has its own",
    lambda route: route.tls is None or not route.smarthosts,
)
LAST_ROUTE_RULE = Rule(
    "size(self) == 0 || !has(self[size(self) - 1].match)",
    "the last route must have no match, so that every recipient has a way out",
    lambda routes: routes[-1].match is None,
)
HIDDEN_ROUTE_RULE = Rule(
    "self.filter(route, !has(route.match)).size() <= 1",
    "only the last route may be without a match: routes behind one would never be used",
    lambda routes: sum(route.match is None for route in routes) <= 1,
)
