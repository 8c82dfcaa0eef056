"""The custom resource `SmtpGateway`: the source of its CRD, and its translation into the gateway's `Config`.

One module per part of the spec over the `words` that they share; `gateway` puts the parts together, `translation` and `referenced` turn them
into what pods are told, and `smtp_gateway.config.crd` turns the models into the CRD.

Every field has a description (what `kubectl explain` says), a bound, and a default in the schema. A field exists only when it does
something. Descriptions and messages are written for the person who edits the manifest.
"""

from __future__ import annotations

from smtp_gateway.config.model import ListenerAuth
from smtp_gateway.config.resource.exposure import ServiceSpec, TrafficPolicy
from smtp_gateway.config.resource.gateway import NAME_RULE, SPEC_RULES, Metadata, SmtpGateway, Spec
from smtp_gateway.config.resource.listening import CertManager, Listener, Tls
from smtp_gateway.config.resource.placement import PodTemplate, Spread, Toleration
from smtp_gateway.config.resource.referenced import SameLoginError, configured, credentials_of, referenced_secrets
from smtp_gateway.config.resource.relaying import Risk
from smtp_gateway.config.resource.routes import Route
from smtp_gateway.config.resource.translation import (
    SecretContentError,
    authority_in,
    authority_secret,
    login_secrets,
    logins_of,
    to_config,
)
from smtp_gateway.config.resource.words import ADMIN_PORT, API_VERSION, GROUP, HTTP_PORT, KIND, PLURAL, VERSION

__all__ = [
    "ADMIN_PORT",
    "API_VERSION",
    "GROUP",
    "HTTP_PORT",
    "KIND",
    "NAME_RULE",
    "PLURAL",
    "SPEC_RULES",
    "VERSION",
    "CertManager",
    "Listener",
    "ListenerAuth",
    "Metadata",
    "PodTemplate",
    "Risk",
    "Route",
    "SameLoginError",
    "SecretContentError",
    "ServiceSpec",
    "SmtpGateway",
    "Spec",
    "Spread",
    "Tls",
    "Toleration",
    "TrafficPolicy",
    "authority_in",
    "authority_secret",
    "configured",
    "credentials_of",
    "login_secrets",
    "logins_of",
    "referenced_secrets",
    "to_config",
]
