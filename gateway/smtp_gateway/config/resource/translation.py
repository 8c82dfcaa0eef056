"""What the resource and its Secrets are turned into: logins, and the configuration that the pods are told."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from smtp_gateway.config import model, pace, units
from smtp_gateway.config.certificate import certificates_in
from smtp_gateway.config.hashes import HashError, hashed
from smtp_gateway.config.resource.admitting import connections_per_client
from smtp_gateway.config.resource.pacing import to_pacing
from smtp_gateway.config.resource.rewriting import to_rewrite

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from smtp_gateway.config.outgoing import DkimKey
    from smtp_gateway.config.resource.bouncing import BouncesSpec
    from smtp_gateway.config.resource.gateway import SmtpGateway, Spec
    from smtp_gateway.config.resource.listening import Listener
    from smtp_gateway.config.resource.routes import Retry, Route, Smarthost

AUTHORITY_KEY = "ca.crt"
"""What an authority's certificate is found under, in a Secret; the name that cert-manager uses."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the Secrets of smarthosts hold, by their names, and the keys that sign mail."""

    credentials: Mapping[str, model.Credentials] = field(default_factory=dict)
    certificates: Mapping[str, model.ClientCertificate] = field(default_factory=dict)
    authorities: Mapping[str, str] = field(default_factory=dict)
    dkim: tuple[DkimKey, ...] = ()


class SecretContentError(Exception):
    """A Secret cannot be understood; the message names it and says why, without its contents."""


def login_secrets(gateway: SmtpGateway) -> tuple[str, ...]:
    """Return the names of the Secrets that hold the gateway's logins: each once, as a rule of the resource says."""
    return tuple(source.secret_ref.name for source in gateway.spec.logins)


def logins_of(secret: Mapping[str, Any]) -> tuple[model.Login, ...]:
    """Return the logins in *secret*, a Secret object with base64 `data` or plain `stringData`.

    Raises `SecretContentError` for values that are not text, hashes that pods could not compare with, and a basic-auth Secret without a
    username or password.
    """
    name = secret["metadata"]["name"]
    values = values_of(secret)
    if secret.get("type") == "kubernetes.io/basic-auth":
        if not values.get("username") or not values.get("password"):
            message = f"Secret {name} is of type kubernetes.io/basic-auth but has no username or no password"
            raise SecretContentError(message)
        values = {values["username"]: values["password"]}
    _check_hashes(name, values.values())
    empty = sum(not password for password in values.values())
    if empty:
        # Not which: a status is read by more people than a Secret.
        message = f"Secret {name} has {empty} {'login' if empty == 1 else 'logins'} with an empty password"
        raise SecretContentError(message)
    return tuple(model.Login(login=login, password=SecretStr(password), identity=name) for login, password in sorted(values.items()))


def _check_hashes(name: str, passwords: Iterable[str]) -> None:
    """Refuse a hash that pods could not compare with; which login's it is, is not told."""
    try:
        for password in passwords:
            hashed(password)
    except HashError as error:
        message = f"Secret {name} cannot be used: {error}"
        raise SecretContentError(message) from error


def values_of(secret: Mapping[str, Any], keys: Collection[str] | None = None) -> dict[str, str]:
    """Return what *secret* holds, or of that the *keys* alone, as text. Raises `SecretContentError`."""
    found = {key: value for key, value in (secret.get("data") or {}).items() if keys is None or key in keys}
    try:
        decoded = {key: base64.b64decode(value, validate=True).decode() for key, value in found.items()}
    except ValueError as error:
        message = f"Secret {secret['metadata']['name']} holds a value that is not text in UTF-8"
        raise SecretContentError(message) from error
    return decoded | dict(secret.get("stringData") or {})


def authority_secret(gateway: SmtpGateway) -> str | None:
    """Return the name of the Secret with the authority of clients' certificates, if they are asked for any."""
    clients = gateway.spec.tls.client_certificates if gateway.spec.tls else None
    return None if clients is None else clients.authority_ref.name


def authority_in(secret: Mapping[str, Any]) -> str:
    """Return the authority of clients' certificates in *secret*: its `ca.crt`, without comments.

    Raises `SecretContentError` when there is none, or it cannot be read.
    """
    name, encoded = secret["metadata"]["name"], (secret.get("data") or {}).get(AUTHORITY_KEY, "")
    try:
        text = base64.b64decode(encoded, validate=True) or (secret.get("stringData") or {}).get(AUTHORITY_KEY, "").encode()
    except ValueError:
        text = b""
    found = certificates_in(text).decode("ascii")
    if not found:
        message = f"Secret {name} has no certificate under {AUTHORITY_KEY}"
        raise SecretContentError(message)
    return found


def to_config(
    gateway: SmtpGateway,
    logins: Sequence[model.Login],
    client_authority: str | None = None,
    held: Held | None = None,
) -> model.Config:
    """Return what the pods of *gateway* are told. Raises pydantic's `ValidationError` when the parts contradict each other.

    *client_authority* is what `authority_in` found, where clients are asked for certificates; *held* is what the Secrets of smarthosts
    and keys hold.
    """
    spec = gateway.spec
    return model.Config(
        hostname=spec.hostname,
        listeners=tuple(_to_listener(one) for one in spec.listeners),
        logins=tuple(logins),
        client_certificates=_to_clients(gateway, client_authority),
        senders=tuple(
            model.Senders(identity=source.secret_ref.name, allowed=source.allowed_senders)
            for source in spec.logins
            if source.allowed_senders is not None
        ),
        routes=tuple(_to_route(route, held or Held()) for route in spec.routes),
        ip_families=spec.delivery.ip_families,
        dkim=() if held is None else held.dkim,
        limits=_to_limits(spec),
        headers=model.Headers(client_address=spec.headers.client_address),
        bounces=_to_bounces(spec.bounces),
        lifetime=units.seconds(spec.spool.lifetime),
        reserve=None if spec.spool.reserve is None else units.octets(spec.spool.reserve),
    )


def _to_bounces(bounces: BouncesSpec) -> model.Bounces:
    return model.Bounces(
        to=bounces.to,
        postmaster=bounces.postmaster,
        route=bounces.route,
        delay_warning=None if bounces.delay_warning is None else units.seconds(bounces.delay_warning),
    )


def _to_clients(gateway: SmtpGateway, authority: str | None) -> model.ClientCertificates | None:
    clients = gateway.spec.tls.client_certificates if gateway.spec.tls else None
    if clients is None or authority is None:
        return None
    known = [
        model.CertifiedLogin(name=name, identity=source.secret_ref.name)
        for source in gateway.spec.logins
        for name in source.certificate_names
    ]
    return model.ClientCertificates(authority=authority, required=clients.required, logins=tuple(known))


def _to_listener(listener: Listener) -> model.Listener:
    proxies = listener.proxy_protocol.trusted if listener.proxy_protocol else ()
    return model.Listener(
        name=listener.name,
        port=listener.port,
        tls=listener.tls,
        auth=listener.auth,
        allowed_networks=tuple(ipaddress.ip_network(one) for one in listener.allowed_networks),
        allowed_recipient_domains=listener.allowed_recipient_domains,
        trusted_proxies=tuple(ipaddress.ip_network(one) for one in proxies),
    )


def _to_limits(spec: Spec) -> model.Limits:
    return model.Limits(
        message_size=units.octets(spec.limits.message_size),
        recipients=spec.limits.recipients,
        connections=spec.limits.connections,
        connections_per_client=connections_per_client(spec.limits, spec.service, spec.listeners),
    )


def _to_route(route: Route, held: Held) -> model.Route:
    return model.Route(
        name=route.name,
        recipient_domains=(route.match and route.match.recipient_domains) or (),
        sender_domains=(route.match and route.match.sender_domains) or (),
        logins=(route.match and route.match.logins) or (),
        smarthosts=tuple(_to_smarthost(hop, held) for hop in route.smarthosts),
        tls=route.tls or model.HopTls.OPPORTUNISTIC,
        retry=_to_retry(route.retry),
        pacing=None if route.pacing is None else to_pacing(route.pacing),
        rewrite=to_rewrite(route.rewrite),
    )


def _to_smarthost(hop: Smarthost, held: Held) -> model.Smarthost:
    return model.Smarthost(
        host=hop.host,
        port=hop.port,
        alternate_ports=hop.alternate_ports,
        tls=hop.tls,
        priority=hop.priority,
        weight=hop.weight,
        credentials=None if hop.credentials_ref is None else held.credentials[hop.credentials_ref.name],
        client_certificate=None if hop.client_certificate_ref is None else held.certificates[hop.client_certificate_ref.name],
        authority=None if hop.authority_ref is None else held.authorities[hop.authority_ref.name],
    )


def _to_retry(retry: Retry) -> pace.Retry:
    return pace.Retry(
        initial=units.seconds(retry.initial),
        maximum=units.seconds(retry.maximum),
        factor=retry.factor_percent / 100,
        jitter=retry.jitter_percent / 100,
        lifetime=None if retry.lifetime is None else units.seconds(retry.lifetime),
    )
