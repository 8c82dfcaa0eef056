"""`Config`: everything a running gateway is told, as one frozen value.

The operator renders it from an `SmtpGateway`, the gateway loads it (`smtp_gateway.config.rendered`); the same model validates on both
sides, so a resource that renders is a gateway that starts. What a process is told by its command line (folders, the metrics
port) is not in here: that is the pod's shape, not its behaviour.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from smtp_gateway.config.grants import Grant
from smtp_gateway.config.habits import Model
from smtp_gateway.config.hashes import hashed
from smtp_gateway.config.outgoing import DkimKey, Rewrite
from smtp_gateway.config.pace import Pacing, Retry

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
"""A DNS label (RFC 1123): what Kubernetes allows as the name of a port."""


SUBMISSIONS_PORT = 465
"""Where servers expect a TLS handshake before they greet (RFC 8314 section 7.3)."""


class ListenerTls(StrEnum):
    """How a listener encrypts."""

    START_TLS = "StartTLS"
    """In the clear until the client sends STARTTLS (RFC 3207); AUTH and mail only after it."""
    IMPLICIT = "Implicit"
    """TLS from the first octet (RFC 8314 section 3.3)."""
    OPPORTUNISTIC = "Opportunistic"
    """In the clear until the client sends STARTTLS, which it need not (RFC 7435); AUTH only after it."""
    NONE = "None"
    """In the clear: STARTTLS is not offered, and AUTH therefore never."""


class ListenerAuth(StrEnum):
    """Whether clients of a listener log in."""

    REQUIRED = "Required"
    """Nobody sends without a login (RFC 6409 section 4.3)."""
    NONE = "None"
    """Where a client comes from, or whom it writes to, is enough; who logs in sends as on any other listener."""


class HopTls(StrEnum):
    """How a connection to a next hop is encrypted."""

    NONE = "None"
    """Never: STARTTLS is not used even where it is offered."""
    OPPORTUNISTIC = "Opportunistic"
    """When offered, without checking the certificate; in the clear otherwise (RFC 7435)."""
    REQUIRED = "Required"
    """Always, without checking the certificate: a hop that does not offer it gets no mail."""
    VERIFY = "Verify"
    """Always, and the certificate must be valid for the host's name."""


class IpFamily(StrEnum):
    """A family of addresses, as Kubernetes calls them."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


class Listener(Model):
    """One port that accepts mail."""

    name: Name
    port: Port
    tls: ListenerTls = ListenerTls.START_TLS
    auth: ListenerAuth = ListenerAuth.REQUIRED
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """From where mail is taken for everybody without a login."""
    allowed_recipient_domains: tuple[str, ...] = ()
    """Domains, or `*.domain` for those beneath it, for which mail is taken from everybody without a login."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """From where every connection begins with a PROXY header that says whose it is; from elsewhere none may."""

    @model_validator(mode="after")
    def _closed(self) -> Self:
        """Refuse a listener that would relay for everybody, and one that would take logins in the clear."""
        if (self.auth is ListenerAuth.NONE) is not bool(self.allowed_networks or self.allowed_recipient_domains):
            message = "networks and recipient domains are allowed exactly where no login is required"
            raise ValueError(message)
        if self.auth is ListenerAuth.REQUIRED and self.tls not in {ListenerTls.START_TLS, ListenerTls.IMPLICIT}:
            message = "logins are taken under TLS only"
            raise ValueError(message)
        return self


def _comparable(password: SecretStr) -> SecretStr:
    """Refuse a hash that a gateway could not compare with."""
    hashed(password.get_secret_value())
    return password


class Login(Model):
    """One login that may send."""

    login: Annotated[str, Field(min_length=1, max_length=255)]
    password: Annotated[SecretStr, AfterValidator(_comparable)]
    """Plain, or one of `smtp_gateway.config.hashes`."""
    identity: str
    """The Secret that holds it: the name that logs and metrics use instead of the login."""


class CertifiedLogin(Model):
    """One login whose password is a client certificate."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """What the certificate is issued for: a DNS name, a mail address or a URI among its subject alternative names."""
    identity: str
    """As in `Login`."""


class ClientCertificates(Model):
    """Which certificates clients may show, and who they are then."""

    authority: Annotated[str, Field(min_length=1)]
    """The certificates that sign those of clients, PEM."""
    required: bool = False
    """Whether a client without a certificate gets no session."""
    logins: tuple[CertifiedLogin, ...] = ()


class Senders(Model):
    """As whom the logins of one Secret may send."""

    identity: str
    allowed: Annotated[tuple[str, ...], Field(min_length=1)]
    """Addresses, `*@domain`, or `*@*.domain` for every domain beneath it; for the envelope's sender, and for From and Sender."""


CREDENTIAL_LENGTH = 4096
"""Octets of a username, and of a password: RFC 4616 section 2 asks for at least 255, and what both make in base64 fits the 12,288 of one
line (RFC 4954 section 4)."""


def _speakable(secret: SecretStr) -> SecretStr:
    """Refuse what no password is (RFC 4013 section 2.3): most often it is the end of the line that an editor put there."""
    value = secret.get_secret_value()
    if not value:
        message = "it is empty"
        raise ValueError(message)
    if any(unicodedata.category(one) == "Cc" for one in value):
        message = "it holds control characters, such as the end of a line behind it"
        raise ValueError(message)
    if len(value.encode()) > CREDENTIAL_LENGTH:
        message = f"it is longer than {CREDENTIAL_LENGTH} octets"
        raise ValueError(message)
    return secret


CredentialText = Annotated[SecretStr, AfterValidator(_speakable)]
"""Whoever logs in by it is shown as the Secret that holds it, so the username is kept out of logs like the password."""


class PasswordCredentials(Model):
    """What the gateway authenticates by at a smarthost: a username and a password, by PLAIN (RFC 4616) or LOGIN."""

    kind: Literal["Password"] = "Password"
    identity: str
    """The Secret that holds it: what reports, logs and status call it."""
    username: CredentialText
    password: CredentialText


class TokenCredentials(Model):
    """The same with an access token in place of the password, by XOAUTH2 or OAUTHBEARER (RFC 7628)."""

    kind: Literal["OAuth2"] = "OAuth2"
    identity: str
    """As in `PasswordCredentials`."""
    username: CredentialText
    """The mailbox in whose name mail is sent."""
    grant: Grant


Credentials = Annotated[PasswordCredentials | TokenCredentials, Field(discriminator="kind")]
"""What the gateway authenticates by at a smarthost; kinds are told apart by their `kind`."""


class ClientCertificate(Model):
    """What the gateway shows to a smarthost that asks for a certificate."""

    identity: str
    """The Secret that holds it."""
    chain: Annotated[str, Field(min_length=1)]
    """The certificate and those between it and its authority, PEM, in this order."""
    key: SecretStr
    """The certificate's key, PEM."""


class Smarthost(Model):
    """One next hop by name. A key of what is kept for next hops: another password is another smarthost."""

    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Port = 25
    alternate_ports: tuple[Port, ...] = ()
    """Tried in this order when nobody greets on `port`."""
    tls: HopTls = HopTls.VERIFY
    """On port 465 TLS comes first (RFC 8314): NONE and OPPORTUNISTIC are REQUIRED there."""
    priority: Annotated[int, Field(ge=0, le=65535)] = 0
    """The lower, the sooner it is tried."""
    weight: Annotated[int, Field(ge=0, le=65535)] = 0
    """Its part of the attempts that begin with one of its priority (`smtp_gateway.routing.preference`)."""
    credentials: Credentials | None = None
    """None: mail is handed over without AUTH, unless the client certificate is taken for it."""
    client_certificate: ClientCertificate | None = None
    """None: a server that asks for a certificate is shown none."""
    authority: Annotated[str, Field(min_length=1)] | None = None
    """The certificates of those who sign the server's, PEM; None: the authorities that the system trusts."""

    @property
    def identity(self) -> str:
        """The Secret that holds its credentials; empty without any."""
        return "" if self.credentials is None else self.credentials.identity

    @model_validator(mode="after")
    def _discreet(self) -> Self:
        """Refuse credentials where they could be sent in the clear (RFC 4954 section 9), and an authority that nobody would ask."""
        if self.credentials is not None and self.tls not in {HopTls.REQUIRED, HopTls.VERIFY}:
            message = "credentials are sent under TLS only"
            raise ValueError(message)
        if self.client_certificate is not None and self.tls not in {HopTls.REQUIRED, HopTls.VERIFY}:
            message = "a client certificate is shown under TLS only"
            raise ValueError(message)
        if self.authority is not None and self.tls is not HopTls.VERIFY:
            message = "an authority is asked only where certificates are verified"
            raise ValueError(message)
        return self


class Route(Model):
    """Where some mail goes; a recipient takes the first route that matches it and who sends to it."""

    name: Name
    recipient_domains: tuple[str, ...] = ()
    """Domains, or `*.domain` for those beneath it; empty matches every recipient."""
    sender_domains: tuple[str, ...] = ()
    """The same of the envelope's sender; empty matches every sender, anything else not the null one."""
    logins: tuple[str, ...] = ()
    """Identities (`Login.identity`) whose mail takes this route; empty matches everybody's."""
    smarthosts: tuple[Smarthost, ...] = ()
    """Tried in this order until one can be reached; empty means the recipient domain's MX on port 25."""
    tls: HopTls = HopTls.OPPORTUNISTIC
    """Towards mail exchangers; a smarthost has its own."""
    retry: Retry = Retry()
    pacing: Pacing | None = None
    """None: as fast as the next hops take mail."""
    rewrite: Rewrite | None = None

    @property
    def matches_all(self) -> bool:
        """Whether all mail may take it."""
        return not (self.recipient_domains or self.sender_domains or self.logins)


class Limits(Model):
    """What one message may be, and how many connections there may be in one pod."""

    message_size: Annotated[int, Field(ge=1024)] = 25 * 1024 * 1024
    """Octets of content (RFC 1870)."""
    recipients: Annotated[int, Field(ge=1)] = 100
    """RCPT commands of one transaction; RFC 5321 section 4.5.3.1.8 asks for at least 100."""
    connections: Annotated[int, Field(ge=1)] = 1000
    """Connections of all listeners together: some 50 MB while they are idle under TLS, and what one loop serves without delay."""
    connections_per_client: Annotated[int, Field(ge=1)] | None = None
    """Connections from one client network (`smtp_gateway.listener.ceilings`); None: as many as there may be in all."""


class ClientAddress(StrEnum):
    """What the trace header of submitted mail says of its client."""

    FULL = "Full"
    """Its address, and what it calls itself (RFC 5321 section 4.4)."""
    OMIT = "Omit"
    """Nothing: RFC 5321 section 7.6 leaves it to sites that have reasons to."""


class Headers(Model):
    """What is written into messages."""

    client_address: ClientAddress = ClientAddress.FULL
    """Of clients with a login; the trace of relayed mail is always whole."""


class BounceTo(StrEnum):
    """Who is told what became of mail."""

    SENDER = "Sender"
    """Its sender (RFC 5321 section 3.6.3)."""
    POSTMASTER = "Postmaster"
    """One address, for all senders: of applications whose own addresses nobody reads."""
    DROP = "Drop"
    """Nobody: logs and metrics have to do."""


class Bounces(Model):
    """What becomes of the gateway's own notices: bounces, warnings of a delay, and reports of success."""

    to: BounceTo = BounceTo.SENDER
    postmaster: Annotated[str, Field(min_length=3, max_length=254)] | None = None
    """Who gets the notices, or, where senders get them, those that cannot be delivered."""
    route: Name | None = None
    """The route of every notice, whatever its recipient; None: as other mail."""
    delay_warning: Annotated[float, Field(gt=0)] | None = None
    """Seconds after acceptance at which a sender is warned of a delay; None: only those that asked for it."""


class Config(Model):
    """What one gateway does."""

    hostname: Annotated[str, Field(min_length=1, max_length=253)]
    """The banner's and EHLO's name."""
    listeners: tuple[Listener, ...]
    """Where mail is accepted; none where all that the resource asks for are withheld, and then mail is only delivered."""
    logins: tuple[Login, ...] = ()
    client_certificates: ClientCertificates | None = None
    """None: clients are not asked for certificates."""
    senders: tuple[Senders, ...] = ()
    """Logins of an identity that is not among them may send as anybody."""
    routes: tuple[Route, ...]
    ip_families: Annotated[tuple[IpFamily, ...], Field(min_length=1)] = tuple(IpFamily)
    """Those of the addresses to which mail is delivered."""
    dkim: tuple[DkimKey, ...] = ()
    """Every key of a domain signs."""
    limits: Limits = Limits()
    headers: Headers = Headers()
    bounces: Bounces = Bounces()
    lifetime: Annotated[float, Field(gt=0)] = 5 * 86400.0
    """Seconds that undelivered mail is retried before it is returned; RFC 5321 section 4.5.4.1 asks for 4 to 5 days."""
    reserve: Annotated[int, Field(gt=0)] | None = None
    """Octets of the spool's volume that new mail may not use; None, or less than is needed: what `smtp_gateway.spool.room` reserves."""
    serving: Annotated[int, Field(ge=0)] | None = None
    """Pods whose ordinal (the number that a StatefulSet puts at the end of a pod's name) is this or more take no new mail, and deliver
    what they have; None: all pods serve."""
    pods: Annotated[int, Field(ge=1)] = 1
    """How many pods deliver, those that drain among them: each keeps to its part of the routes' pace. 1 where no route has one."""
    salt: SecretStr | None = None
    """Random and known to nobody but who may read the passwords: the hash of the configuration is shown, and must not tell a right guess
    from a wrong one."""

    @property
    def grants(self) -> frozenset[Grant]:
        """By which access tokens are asked for, for all smarthosts."""
        credentials = (hop.credentials for route in self.routes for hop in route.smarthosts)
        return frozenset(one.grant for one in credentials if isinstance(one, TokenCredentials))

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        """Refuse what would make one part hide another."""
        for what, values in (
            ("listener name", [listener.name for listener in self.listeners]),
            ("listener port", [str(listener.port) for listener in self.listeners]),
            ("login", [login.login for login in self.logins]),
            ("certificate name", [login.name for login in self.client_certificates.logins] if self.client_certificates else []),
            ("identity with senders", [senders.identity for senders in self.senders]),
            ("route name", [route.name for route in self.routes]),
            ("DKIM selector", [key.record_name for key in self.dkim]),
        ):
            twice = sorted(value for value, times in Counter(values).items() if times > 1)
            if twice:
                message = f"the same {what} is used more than once: {', '.join(twice)}"
                raise ValueError(message)
        if not self.routes or not self.routes[-1].matches_all:
            message = "the last route must match all mail"
            raise ValueError(message)
        if self.bounces.route is not None and all(route.name != self.bounces.route for route in self.routes):
            message = "the route of bounces is none of the routes"
            raise ValueError(message)
        if self.bounces.to is BounceTo.POSTMASTER and self.bounces.postmaster is None:
            message = "bounces for the postmaster need the address of one"
            raise ValueError(message)
        return self
