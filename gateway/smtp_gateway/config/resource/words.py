"""The words of the resource: names, hosts, durations and quantities, each refused with a sentence that says what to write instead."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import Field

from smtp_gateway.config import units
from smtp_gateway.config.habits import Model
from smtp_gateway.config.rules import Rule

GROUP = "smtpgateway.io"
VERSION = "v1alpha1"
API_VERSION: Final = "smtpgateway.io/v1alpha1"
KIND: Final = "SmtpGateway"
PLURAL = "smtpgateways"

HTTP_PORT = 8080
"""Where every pod answers probes and shows its metrics."""
ADMIN_PORT = 8443
"""Where every pod reports to the operator, over TLS with client certificates."""
NAME_LENGTH = 52
"""A StatefulSet's pods carry its name and an eleven-character hash in one label of at most 63 characters."""

_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOSTNAME = rf"^{_LABEL}(\.{_LABEL})+$"
_HOST = rf"^({_LABEL}(\.{_LABEL})*|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$"
_SENDER = rf"""^(\*|[^\s@<>()\[\]:;,\\"*]{{1,64}})@(\*\.)?{_LABEL}(\.{_LABEL})*$"""
_MAILBOX = rf"^[a-zA-Z0-9!#$%&*+/=?^_{{|}}~-]+(\.[a-zA-Z0-9!#$%&*+/=?^_{{|}}~-]+)*@{_LABEL}(\.{_LABEL})*$"
_DOMAIN = rf"^(\*\.)?{_LABEL}(\.{_LABEL})*$"


def matching(pattern: str, message: str) -> Rule:
    """Return the rule that a string matches *pattern*: a sentence in place of the regular expression that a schema's `pattern` shows."""
    escaped = pattern.replace("\\", "\\\\")
    return Rule(f"self.matches('{escaped}')", message, lambda value: re.fullmatch(pattern, value) is not None)


Hostname = Annotated[str, Field(max_length=253), matching(_HOSTNAME, "must be a fully qualified host name such as mail.example.com")]
Host = Annotated[str, Field(max_length=253), matching(_HOST, "must be a host name or an IP address")]
MailDomain = Annotated[
    str, Field(max_length=253), matching(_DOMAIN, "must be a domain such as example.com, or *.example.com for every domain beneath it")
]
SenderPattern = Annotated[
    str,
    Field(max_length=254),
    matching(
        _SENDER,
        "must be an address such as app@example.com, *@example.com for all of a domain, or *@*.example.com for every domain beneath it",
    ),
]
Mailbox = Annotated[
    str, Field(max_length=254), matching(_MAILBOX, "must be an address such as postmaster@example.com, in ASCII and without quotes")
]
Name = Annotated[
    str,
    Field(max_length=15),
    matching(r"^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$", "must be lower case letters, digits and dashes, a letter first"),
]
"""As short as the name of a Kubernetes port, because a listener's name becomes one."""
SecretName = Annotated[
    str, Field(max_length=253), matching(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", "must be the name of a Secret in the same namespace")
]
Duration = Annotated[
    str,
    Field(max_length=24),
    matching(units.DURATION_PATTERN, "must be a duration such as 30s, 15m, 1h30m or 5d"),
    Rule("self.matches('[1-9]')", "must be longer than nothing", lambda value: units.seconds(value) > 0),
]
Quantity = Annotated[str, Field(max_length=16), matching(units.QUANTITY_PATTERN, "must be a whole quantity such as 500k, 25Mi or 5Gi")]

Annotations = Annotated[dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=4096)]], Field(max_length=64)]
"""As Kubernetes has them; it refuses what is no key itself."""
_OWN_LABELS = tuple(f"app.kubernetes.io/{name}" for name in ("name", "instance", "managed-by", "component", "version"))
Labels = Annotated[
    dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]],
    Field(max_length=32),
    Rule(
        f"!self.exists(key, key in {list(_OWN_LABELS)})",
        "the labels app.kubernetes.io/name, instance, managed-by, component and version are the operator's own",
        lambda labels: not set(_OWN_LABELS) & set(labels),
    ),
]
"""Labels by which others find an object; those by which the operator does are not theirs to set."""

ClassName = Annotated[
    str, Field(max_length=253), matching(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", "must be lower case letters, digits, dots and dashes")
]
"""The name of an object of the cluster (RFC 1123 subdomain)."""


def list_map(*keys: str) -> dict[str, Any]:
    """Return what makes a list a map of its items by *keys*, so that two appliers can own an item each."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def without_repetition(names: list[str]) -> bool:
    """Tell whether every name is there once."""
    return len(set(names)) == len(names)


class SecretReference(Model):
    """A Secret in the gateway's namespace."""

    name: SecretName = Field(description="Name of the Secret.")
