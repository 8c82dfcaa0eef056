"""The custom resource, in one place: the model that the gateway itself reads, and what it is turned into.

Nothing is defined here. The model lives with the gateway so that what the operator renders is what a pod loads.
"""

from __future__ import annotations

from smtp_gateway.config import signing_keys
from smtp_gateway.config.grants import Grant
from smtp_gateway.config.model import Config, Login
from smtp_gateway.config.outgoing import DkimKey
from smtp_gateway.config.rendered import MAX_SHARDS, ConfigTooLargeError, config_hash, new_salt, render, salt_in
from smtp_gateway.config.report import BESIDE_PORT_25, Cause, PodReport, UpstreamReport
from smtp_gateway.config.resource import (
    ADMIN_PORT,
    API_VERSION,
    GROUP,
    HTTP_PORT,
    KIND,
    PLURAL,
    VERSION,
    Listener,
    ListenerAuth,
    PodTemplate,
    Risk,
    Route,
    SameLoginError,
    SecretContentError,
    ServiceSpec,
    SmtpGateway,
    Spec,
    Spread,
    Toleration,
    TrafficPolicy,
    configured,
    referenced_secrets,
    to_config,
)
from smtp_gateway.config.sentences import sentence_of
from smtp_gateway.config.units import amount, seconds

__all__ = [
    "ADMIN_PORT",
    "API_VERSION",
    "BESIDE_PORT_25",
    "GROUP",
    "HTTP_PORT",
    "KIND",
    "MAX_SHARDS",
    "PLURAL",
    "VERSION",
    "Cause",
    "Config",
    "ConfigTooLargeError",
    "DkimKey",
    "Grant",
    "Listener",
    "ListenerAuth",
    "Login",
    "PodReport",
    "PodTemplate",
    "Risk",
    "Route",
    "SameLoginError",
    "SecretContentError",
    "ServiceSpec",
    "SmtpGateway",
    "Spec",
    "Spread",
    "Toleration",
    "TrafficPolicy",
    "UpstreamReport",
    "amount",
    "config_hash",
    "configured",
    "new_salt",
    "referenced_secrets",
    "render",
    "salt_in",
    "seconds",
    "sentence_of",
    "signing_keys",
    "to_config",
]
