"""Where mail is accepted: listeners, their certificate, and who may send."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from smtp_gateway.config.habits import Model
from smtp_gateway.config.model import ListenerAuth, ListenerTls, Port
from smtp_gateway.config.resource.admitting import ProxyProtocol
from smtp_gateway.config.resource.relaying import ALLOWANCE_RULE, CLEARTEXT_RULE, CLOSED_RULE, Risk, TrustedNetwork
from smtp_gateway.config.resource.words import (
    ADMIN_PORT,
    HTTP_PORT,
    ClassName,
    Hostname,
    MailDomain,
    Name,
    SecretName,
    SecretReference,
    SenderPattern,
    matching,
    without_repetition,
)
from smtp_gateway.config.rules import Rule


class Listener(Model):
    """One port on which mail is accepted: from clients that log in, and only under TLS; or without a login, where it says for whom."""

    name: Name = Field(description="Name of the listener in logs, metrics and the Service's ports.")
    port: Annotated[
        Port,
        Rule(f"self != {HTTP_PORT}", f"port {HTTP_PORT} is taken by the pods' probes and metrics", lambda value: value != HTTP_PORT),
        Rule(f"self != {ADMIN_PORT}", f"port {ADMIN_PORT} is taken by the pods' reports", lambda value: value != ADMIN_PORT),
    ] = Field(
        description="Port of the pods and of the Service: 587 for submission (RFC 6409), 2525 where networks block 587, 465 for implicit TLS, 25 for other mail servers."
    )
    tls: ListenerTls = Field(
        default=ListenerTls.START_TLS,
        description="StartTLS: in the clear until the client asks for TLS, and nothing but that before it. Implicit: TLS from the first octet, as on port 465 (RFC 8314). Opportunistic: TLS for clients that ask for it, mail also in the clear. None: no TLS. The last two need auth: None, and logins are never taken in the clear.",
    )
    auth: ListenerAuth = Field(
        default=ListenerAuth.REQUIRED,
        description="Required: nobody sends without a login. None: clients in allowedNetworks send to anywhere without one, and all others only to allowedRecipientDomains.",
    )
    allowed_networks: Annotated[tuple[TrustedNetwork, ...], Field(max_length=64)] = Field(
        default=(),
        description="With auth: None, networks whose clients send to anywhere without a login. No network is trusted by default, private ones neither. Source NAT can make clients from anywhere look as if they were in one; see acknowledgedRisks.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    allowed_recipient_domains: Annotated[tuple[MailDomain, ...], Field(max_length=100)] = Field(
        default=(),
        description="With auth: None, domains of recipients for which mail is taken from clients of any network without a login; *.example.com means every domain beneath example.com, not itself.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    acknowledged_risks: Annotated[tuple[Risk, ...], Field(max_length=len(Risk))] = Field(
        default=(),
        description="Risks of an open relay that are known and wanted: a listener with any other is not opened, and the condition OpenRelayRisk says why. WideNetwork: an allowed network, or one of proxies, is wider than /24, or /64 of IPv6. ClusterAddresses: one holds addresses of nodes or pods, or the operator may not read nodes. SourceNAT: allowed networks behind a Service of type NodePort or LoadBalancer with externalTrafficPolicy Cluster and without proxyProtocol.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    proxy_protocol: ProxyProtocol | None = Field(
        default=None,
        description="For a load balancer in front that sends PROXY headers. Without it every connection counts as that of the address it comes from.",
    )
    node_port: Port | None = Field(
        default=None,
        description="Port of every node that leads to this listener, with a Service of type NodePort or LoadBalancer; one that Kubernetes chooses when absent.",
    )


SafeListener = Annotated[Listener, CLOSED_RULE, ALLOWANCE_RULE, CLEARTEXT_RULE]


class IssuerReference(Model):
    """An issuer of cert-manager, or of one of its extensions."""

    name: ClassName = Field(description="Name of the issuer.")
    kind: Annotated[str, Field(max_length=63), matching(r"^[A-Z][A-Za-z0-9]*$", "must be a kind such as Issuer or ClusterIssuer")] = Field(
        default="Issuer", description="Issuer, of the gateway's namespace; ClusterIssuer; or the kind of an external issuer."
    )
    group: ClassName = Field(default="cert-manager.io", description="API group of the issuer; another one for external issuers.")


class CertManager(Model):
    """A certificate that cert-manager issues and renews."""

    issuer_ref: IssuerReference = Field(description="Who issues it.")
    extra_dns_names: Annotated[tuple[Hostname, ...], Field(max_length=32)] = Field(
        default=(),
        description="Names in the certificate besides spec.hostname. Public authorities refuse a certificate with a name of the cluster; a private one may be asked for mail.apps.svc and the like.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class ClientCertificates(Model):
    """Certificates with which clients show who they are."""

    authority_ref: SecretReference = Field(
        description="Secret with ca.crt: the certificates, PEM, of those who sign clients'. Only this key of it is read."
    )
    required: bool = Field(
        default=False,
        description="Whether a client without a certificate is refused, at every listener. Otherwise it authenticates by password.",
    )


CertificateName = Annotated[
    str,
    Field(max_length=253),
    matching(r"^[!-~]+$", "must be a DNS name, a mail address or a URI as it stands in the certificate, in ASCII without spaces"),
]


class Tls(Model):
    """The certificate that the listeners show, and those that clients may show."""

    secret_name: SecretName | None = Field(
        default=None,
        description="Secret of type kubernetes.io/tls with tls.crt and tls.key. It is mounted, so a renewed certificate is used without a restart.",
    )
    cert_manager: CertManager | None = Field(
        default=None, description="Have cert-manager issue it: the operator makes a Certificate, and pods use what cert-manager writes."
    )
    additional_secret_name: SecretName | None = Field(
        default=None,
        description="Secret of type kubernetes.io/tls with a second certificate, whose key is of another type: RSA beside ECDSA, for clients that know only one of them. Mounted like the first.",
    )
    client_certificates: ClientCertificates | None = Field(
        default=None,
        description="Ask clients for certificates; AUTH EXTERNAL then takes the place of a password, for the names in logins[].certificateNames.",
    )

    @property
    def issued(self) -> bool:
        """Whether the operator issues the certificate itself."""
        return self.secret_name is None and self.cert_manager is None


TLS_RULE = Rule(
    "!has(self.secretName) || !has(self.certManager)",
    "secretName and certManager exclude each other; without both the operator issues a certificate itself",
    lambda tls: tls.secret_name is None or tls.cert_manager is None,
)
ADDITIONAL_RULE = Rule(
    "!has(self.additionalSecretName) || !has(self.secretName) || self.additionalSecretName != self.secretName",
    "additionalSecretName must be another Secret than secretName",
    lambda tls: tls.additional_secret_name is None or tls.additional_secret_name != tls.secret_name,
)


class LoginSource(Model):
    """Where logins come from."""

    secret_ref: SecretReference = Field(
        description="Secret of the logins. In one of type kubernetes.io/basic-auth, username and password are one login; in any other, each key is a login and its value the password. Passwords may be hashed with argon2id or bcrypt."
    )
    certificate_names: Annotated[tuple[CertificateName, ...], Field(max_length=64)] = Field(
        default=(),
        description="Clients that may send as those of this Secret by AUTH EXTERNAL: DNS names, mail addresses or URIs among the subject alternative names of their certificates. Needs tls.clientCertificates.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    allowed_senders: Annotated[tuple[SenderPattern, ...], Field(min_length=1, max_length=32)] | None = Field(
        default=None,
        description="As whom these logins may send, for the envelope's sender and for the From and Sender headers: addresses such as app@example.com, *@example.com for all of a domain, *@*.example.com for every domain beneath it. Absent: as anybody.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


LOGINS_RULE = Rule(
    "self.all(one, self.exists_one(other, other.secretRef.name == one.secretRef.name))",
    "each Secret of logins is named once",
    lambda sources: without_repetition([source.secret_ref.name for source in sources]),
)


LISTENERS_RULE = Rule(
    "self.all(one, self.exists_one(other, other.port == one.port))",
    "each listener needs a port of its own",
    lambda listeners: without_repetition([str(listener.port) for listener in listeners]),
)
DEFAULT_LISTENERS = (Listener(name="submission", port=587), Listener(name="alternative", port=2525))
