"""Where mail is accepted: listeners, their certificate, and who may send."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from smtp_gateway.config.model import ListenerTls, Model, Port
from smtp_gateway.config.resource.words import ADMIN_PORT, HTTP_PORT, Name, SecretName, SecretReference, without_repetition
from smtp_gateway.config.rules import Rule


class Listener(Model):
    """One port on which mail is accepted. Clients authenticate, and only under TLS."""

    name: Name = Field(description="Name of the listener in logs, metrics and the Service's ports.")
    port: Annotated[
        Port,
        Rule(f"self != {HTTP_PORT}", f"port {HTTP_PORT} is taken by the pods' probes and metrics", lambda value: value != HTTP_PORT),
        Rule(f"self != {ADMIN_PORT}", f"port {ADMIN_PORT} is taken by the pods' reports", lambda value: value != ADMIN_PORT),
    ] = Field(
        description="Port of the pods and of the Service: 587 for submission (RFC 6409), 2525 where networks block 587, 465 for implicit TLS."
    )
    tls: ListenerTls = Field(
        default=ListenerTls.START_TLS,
        description="StartTLS: in the clear until the client asks for TLS, and nothing but that before it. Implicit: TLS from the first octet, as on port 465 (RFC 8314).",
    )


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


LISTENERS_RULE = Rule(
    "self.all(one, self.exists_one(other, other.port == one.port))",
    "each listener needs a port of its own",
    lambda listeners: without_repetition([str(listener.port) for listener in listeners]),
)
DEFAULT_LISTENERS = (Listener(name="submission", port=587), Listener(name="alternative", port=2525))
