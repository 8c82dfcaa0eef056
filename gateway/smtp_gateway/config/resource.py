"""The custom resource `SmtpGateway`: the source of its CRD, and its translation into the gateway's `Config`.

The models come first, the translation last; `smtp_gateway.config.crd` turns the models into the CRD.

Every field has a description (what `kubectl explain` says), a bound, and a default in the schema. A field exists only when it does
something. Descriptions and messages are written for the person who edits the manifest.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, SecretStr

from smtp_gateway.config import model, units
from smtp_gateway.config.model import HopTls, ListenerTls, Model, Port
from smtp_gateway.config.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GROUP = "smtpgateway.io"
VERSION = "v1alpha1"
API_VERSION: Final = "smtpgateway.io/v1alpha1"
KIND: Final = "SmtpGateway"
PLURAL = "smtpgateways"

HTTP_PORT = 8080
"""Where every pod answers probes and shows its metrics."""
NAME_LENGTH = 52
"""A StatefulSet's pods carry its name and an eleven-character hash in one label of at most 63 characters."""

_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOSTNAME = rf"^{_LABEL}(\.{_LABEL})+$"
_HOST = rf"^({_LABEL}(\.{_LABEL})*|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$"
_DOMAIN = rf"^(\*\.)?{_LABEL}(\.{_LABEL})*$"


def _matching(pattern: str, message: str) -> Rule:
    """Return the rule that a string matches *pattern*: a sentence in place of the regular expression that a schema's `pattern` shows."""
    escaped = pattern.replace("\\", "\\\\")
    return Rule(f"self.matches('{escaped}')", message, lambda value: re.fullmatch(pattern, value) is not None)


Hostname = Annotated[str, Field(max_length=253), _matching(_HOSTNAME, "must be a fully qualified host name such as mail.example.com")]
Host = Annotated[str, Field(max_length=253), _matching(_HOST, "must be a host name or an IP address")]
RecipientDomain = Annotated[
    str, Field(max_length=253), _matching(_DOMAIN, "must be a domain such as example.com, or *.example.com for every domain beneath it")
]
Name = Annotated[
    str,
    Field(max_length=15),
    _matching(r"^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$", "must be lower case letters, digits and dashes, a letter first"),
]
"""As short as the name of a Kubernetes port, because a listener's name becomes one."""
SecretName = Annotated[
    str, Field(max_length=253), _matching(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", "must be the name of a Secret in the same namespace")
]
Duration = Annotated[
    str,
    Field(max_length=24),
    _matching(units.DURATION_PATTERN, "must be a duration such as 30s, 15m, 1h30m or 5d"),
    Rule("self.matches('[1-9]')", "must be longer than nothing", lambda value: units.seconds(value) > 0),
]
Quantity = Annotated[str, Field(max_length=16), _matching(units.QUANTITY_PATTERN, "must be a whole quantity such as 500k, 25Mi or 5Gi")]


def _list_map(key: str) -> dict[str, Any]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def _without_repetition(names: list[str]) -> bool:
    return len(set(names)) == len(names)


class Listener(Model):
    """One port on which mail is accepted. Clients authenticate, and only under TLS."""

    name: Name = Field(description="Name of the listener in logs, metrics and the Service's ports.")
    port: Annotated[
        Port, Rule(f"self != {HTTP_PORT}", f"port {HTTP_PORT} is taken by the pods' probes and metrics", lambda value: value != HTTP_PORT)
    ] = Field(
        description="Port of the pods and of the Service: 587 for submission (RFC 6409), 2525 where networks block 587, 465 for implicit TLS."
    )
    tls: ListenerTls = Field(
        default=ListenerTls.START_TLS,
        description="StartTLS: in the clear until the client asks for TLS, and nothing but that before it. Implicit: TLS from the first octet, as on port 465 (RFC 8314).",
    )


class SecretReference(Model):
    """A Secret in the gateway's namespace."""

    name: SecretName = Field(description="Name of the Secret.")


class Tls(Model):
    """The certificate that the listeners show."""

    secret_name: SecretName = Field(
        description="Secret of type kubernetes.io/tls with tls.crt and tls.key. It is mounted, so a renewed certificate is used without a restart."
    )


class LoginSource(Model):
    """Where logins come from."""

    secret_ref: SecretReference = Field(
        description="Secret of the logins. In one of type kubernetes.io/basic-auth, username and password are one login; in any other, each key is a login and its value the password."
    )


class Match(Model):
    """Which mail a route is for."""

    recipient_domains: Annotated[tuple[RecipientDomain, ...], Field(min_length=1, max_length=100)] = Field(
        description="Domains of recipients; *.example.com means every domain beneath example.com, not itself.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Smarthost(Model):
    """A mail server that takes mail for others."""

    host: Host = Field(description="Name or address of the server.")
    port: Port = Field(default=25, description="Port of the server.")
    tls: HopTls = Field(
        default=HopTls.VERIFY,
        description="Verify: TLS always, and the certificate must be valid for the host. Required: TLS always, any certificate. Opportunistic: TLS when offered. None: never.",
    )


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
    """Where mail goes. Each recipient takes the first route that matches."""

    name: Name = Field(description="Name of the route in logs and metrics.")
    match: Match | None = Field(default=None, description="Which recipients take this route. Every route but the last has one.")
    smarthosts: Annotated[tuple[Smarthost, ...], Field(max_length=16)] = Field(
        default=(),
        description="Servers that take this mail, tried in this order until one can be reached. Without any, mail goes to the MX of the recipient's domain on port 25.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    retry: Retry = Field(default=Retry(), description="How often mail on this route is tried again.")


class Volume(Model):
    """The volume of one pod's queue. Volumes outlive pods, scaling in and the gateway itself."""

    size: Quantity = Field(default="1Gi", description="Size of each pod's volume.")
    storage_class_name: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="StorageClass of the volumes; the cluster's default class when absent."
    )


class SpoolSpec(Model):
    """Where accepted mail is kept until it is delivered."""

    volume: Annotated[
        Volume,
        Rule("self == oldSelf", "a gateway's volumes cannot be changed: create another gateway and move the applications to it"),
    ] = Field(default=Volume(), description="The volume of each pod.")
    lifetime: Duration = Field(default="5d", description="How long undelivered mail is tried before it goes back to its sender.")
    reserve: Quantity | None = Field(
        default=None,
        description="Part of each volume that new mail may not use, so that the deliveries of old mail can be written down when it is full. 16Mi, or the twentieth part of a smaller volume, when absent.",
    )


_RESERVE_RULE = Rule(
    "!has(self.reserve) || quantity(self.reserve).compareTo(quantity(self.volume.size)) < 0",
    "the reserve must be smaller than the volume, or no mail could be taken",
    lambda spool: spool.reserve is None or units.octets(spool.reserve) < units.octets(spool.volume.size),
)
_MESSAGE_SIZE_RULE = Rule(
    "quantity(self).compareTo(quantity('64Ki')) >= 0 && quantity(self).compareTo(quantity('128Mi')) <= 0",
    "must be at least 64Ki, which RFC 5321 asks of every server, and at most 128Mi",
    lambda value: units.octets("64Ki") <= units.octets(value) <= units.octets("128Mi"),
)


class LimitsSpec(Model):
    """What one message may be."""

    message_size: Annotated[Quantity, _MESSAGE_SIZE_RULE] = Field(
        default="25Mi", description="Largest message, as the SIZE that clients are told (RFC 1870): 64Ki to 128Mi."
    )
    recipients: Annotated[int, Field(ge=1, le=10_000)] = Field(default=100, description="Most recipients of one message.")


_LISTENERS_RULE = Rule(
    "self.all(one, self.exists_one(other, other.port == one.port))",
    "each listener needs a port of its own",
    lambda listeners: _without_repetition([str(listener.port) for listener in listeners]),
)
_LAST_ROUTE_RULE = Rule(
    "size(self) == 0 || !has(self[size(self) - 1].match)",
    "the last route must have no match, so that every recipient has a way out",
    lambda routes: routes[-1].match is None,
)
_HIDDEN_ROUTE_RULE = Rule(
    "self.filter(route, !has(route.match)).size() <= 1",
    "only the last route may be without a match: routes behind one would never be used",
    lambda routes: sum(route.match is None for route in routes) <= 1,
)
DEFAULT_LISTENERS = (Listener(name="submission", port=587), Listener(name="alternative", port=2525))


class Spec(Model):
    """What the gateway should be."""

    replicas: Annotated[int, Field(ge=0, le=64)] = Field(
        default=1, description="Number of pods, each with a queue of its own. 0 stops the pods and keeps their volumes."
    )
    paused: bool = Field(
        default=False,
        description="While true the operator changes nothing for this gateway: pods keep running as they are, changes of the resource and of its Secrets wait, and certificates are not renewed. It still says how the gateway stands.",
    )
    hostname: Hostname = Field(description="Name that the gateway greets with and that it sends in EHLO to next hops.")
    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=8), _LISTENERS_RULE] = Field(
        default=DEFAULT_LISTENERS, description="Ports on which mail is accepted.", json_schema_extra=_list_map("name")
    )
    tls: Tls | None = Field(
        default=None, description="The listeners' certificate. Without it the operator issues one, from an authority of the gateway's own."
    )
    logins: Annotated[tuple[LoginSource, ...], Field(max_length=64)] = Field(
        default=(), description="Who may send mail. Without logins nobody can.", json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    routes: Annotated[tuple[Route, ...], Field(min_length=1, max_length=32), _LAST_ROUTE_RULE, _HIDDEN_ROUTE_RULE] = Field(
        default=(Route(name="default"),),
        description="Where mail goes: the first route that matches a recipient. The last has no match. By default all mail goes straight to the recipients' MX.",
        json_schema_extra=_list_map("name"),
    )
    spool: Annotated[SpoolSpec, _RESERVE_RULE] = Field(
        default=SpoolSpec(), description="Where accepted mail is kept until it is delivered."
    )
    limits: LimitsSpec = Field(default=LimitsSpec(), description="What one message may be.")


def _is_child_name(name: str) -> str:
    if len(name) > NAME_LENGTH or not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name):
        raise ValueError(NAME_RULE.message)
    return name


NAME_RULE = Rule(
    f"size(self.metadata.name) <= {NAME_LENGTH} && self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')",
    f"the name must be at most {NAME_LENGTH} lower case letters, digits and dashes, a letter first: the Service and the pods are named after it",
)


class Metadata(Model):
    """The part of a Kubernetes object's metadata that the gateway reads."""

    model_config = Model.model_config | {"extra": "ignore"}

    name: Annotated[str, AfterValidator(_is_child_name)]
    namespace: str = "default"
    uid: str = ""
    generation: int = 0


class SmtpGateway(Model):
    """A fleet of SMTP gateway pods: they accept mail from applications, keep it safe on disk, and relay it."""

    model_config = Model.model_config | {"extra": "ignore"}

    api_version: Literal["smtpgateway.io/v1alpha1"] = API_VERSION
    kind: Literal["SmtpGateway"] = KIND
    metadata: Metadata
    spec: Spec


class SecretContentError(Exception):
    """A Secret of logins cannot be understood; the message names it and says why, without its contents."""


def login_secrets(gateway: SmtpGateway) -> tuple[str, ...]:
    """Return the names of the Secrets that hold the gateway's logins, without repetition."""
    return tuple(dict.fromkeys(source.secret_ref.name for source in gateway.spec.logins))


def logins_of(secret: Mapping[str, Any]) -> tuple[model.Login, ...]:
    """Return the logins in *secret*, a Secret object with base64 `data` or plain `stringData`.

    Raises `SecretContentError` for values that are not text, and for a basic-auth Secret without a username or password.
    """
    name = secret["metadata"]["name"]
    values = _values_of(secret)
    if secret.get("type") == "kubernetes.io/basic-auth":
        if not values.get("username") or not values.get("password"):
            message = f"Secret {name} is of type kubernetes.io/basic-auth but has no username or no password"
            raise SecretContentError(message)
        values = {values["username"]: values["password"]}
    empty = sorted(login for login, password in values.items() if not password)
    if empty:
        message = f"Secret {name} has an empty password under {', '.join(empty)}"
        raise SecretContentError(message)
    return tuple(model.Login(login=login, password=SecretStr(password), identity=name) for login, password in sorted(values.items()))


def _values_of(secret: Mapping[str, Any]) -> dict[str, str]:
    try:
        decoded = {key: base64.b64decode(value, validate=True).decode() for key, value in (secret.get("data") or {}).items()}
    except ValueError as error:
        message = f"Secret {secret['metadata']['name']} holds a value that is not text in UTF-8"
        raise SecretContentError(message) from error
    return decoded | dict(secret.get("stringData") or {})


def to_config(gateway: SmtpGateway, logins: Sequence[model.Login]) -> model.Config:
    """Return what the pods of *gateway* are told. Raises pydantic's `ValidationError` when the parts contradict each other."""
    spec = gateway.spec
    return model.Config(
        hostname=spec.hostname,
        listeners=tuple(model.Listener(name=one.name, port=one.port, tls=one.tls) for one in spec.listeners),
        logins=tuple(logins),
        routes=tuple(_to_route(route) for route in spec.routes),
        limits=model.Limits(message_size=units.octets(spec.limits.message_size), recipients=spec.limits.recipients),
        lifetime=units.seconds(spec.spool.lifetime),
        reserve=None if spec.spool.reserve is None else units.octets(spec.spool.reserve),
    )


def _to_route(route: Route) -> model.Route:
    return model.Route(
        name=route.name,
        recipient_domains=route.match.recipient_domains if route.match else (),
        smarthosts=tuple(model.Smarthost(host=hop.host, port=hop.port, tls=hop.tls) for hop in route.smarthosts),
        retry=_to_retry(route.retry),
    )


def _to_retry(retry: Retry) -> model.Retry:
    return model.Retry(
        initial=units.seconds(retry.initial),
        maximum=units.seconds(retry.maximum),
        factor=retry.factor_percent / 100,
        jitter=retry.jitter_percent / 100,
        lifetime=None if retry.lifetime is None else units.seconds(retry.lifetime),
    )
