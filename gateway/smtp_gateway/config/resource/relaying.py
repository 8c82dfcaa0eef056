"""Listeners without a login: what they take mail for, and which risks of an open relay a person has to take on by name."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from smtp_gateway.config.model import ListenerAuth, ListenerTls
from smtp_gateway.config.resource.exposure import Network
from smtp_gateway.config.rules import Rule

if TYPE_CHECKING:
    from smtp_gateway.config.resource.listening import Listener


class Risk(StrEnum):
    """Why a listener without a login may relay for strangers. The operator withholds it until the risk is acknowledged by this name."""

    WIDE_NETWORK = "WideNetwork"
    """An allowed network is wider than one local network has to be: /24, or /64 of IPv6."""
    CLUSTER_ADDRESSES = "ClusterAddresses"
    """An allowed network, or one of proxies, holds addresses of nodes or pods, behind which anybody may stand."""
    SOURCE_NAT = "SourceNAT"
    """The Service hides who connects: clients from anywhere may have an address of an allowed network."""


TrustedNetwork = Annotated[
    Network,
    Rule(
        "!isCIDR(self) || cidr(self).prefixLength() > 0",
        "must not be the whole Internet",
        lambda value: ipaddress.ip_network(value).prefixlen > 0,
    ),
]


def _is_open(listener: Listener) -> bool:
    return listener.auth is ListenerAuth.NONE


CLOSED_RULE = Rule(
    "self.auth != 'None' || size(self.allowedNetworks) > 0 || size(self.allowedRecipientDomains) > 0",
    "auth: None needs allowedNetworks or allowedRecipientDomains: without either it would be an open relay",
    lambda listener: not _is_open(listener) or bool(listener.allowed_networks or listener.allowed_recipient_domains),
)
ALLOWANCE_RULE = Rule(
    "self.auth == 'None' || (size(self.allowedNetworks) == 0 && size(self.allowedRecipientDomains) == 0 && size(self.acknowledgedRisks) == 0)",
    "allowedNetworks, allowedRecipientDomains and acknowledgedRisks need auth: None; who logs in sends from anywhere to anywhere",
    lambda listener: (
        _is_open(listener) or not (listener.allowed_networks or listener.allowed_recipient_domains or listener.acknowledged_risks)
    ),
)
CLEARTEXT_RULE = Rule(
    "self.auth == 'None' || self.tls == 'StartTLS' || self.tls == 'Implicit'",
    "tls: Opportunistic and None need auth: None, because logins are never taken in the clear",
    lambda listener: _is_open(listener) or listener.tls in {ListenerTls.START_TLS, ListenerTls.IMPLICIT},
)
