"""The resource itself: its spec, put together from the parts, and its name."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from smtp_gateway.config.habits import Model
from smtp_gateway.config.resource.bouncing import BOUNCES_ROUTE_RULE, BouncesField, BouncesSpec
from smtp_gateway.config.resource.delivering import DeliverySpec
from smtp_gateway.config.resource.exposure import (
    EXTRA_PORTS_RULE,
    FAMILIES_RULE,
    LOAD_BALANCER_CLASS_RULE,
    LOAD_BALANCER_RULE,
    TRAFFIC_RULE,
    NetworkPolicySpec,
    ServiceSpec,
)
from smtp_gateway.config.resource.headers import HeadersSpec
from smtp_gateway.config.resource.listening import (
    ADDITIONAL_RULE,
    DEFAULT_LISTENERS,
    LISTENERS_RULE,
    LOGINS_RULE,
    TLS_RULE,
    LoginSource,
    SafeListener,
    Tls,
)
from smtp_gateway.config.resource.monitoring import MonitoringSpec
from smtp_gateway.config.resource.placement import PodTemplate
from smtp_gateway.config.resource.routes import HIDDEN_ROUTE_RULE, LAST_ROUTE_RULE, TLS_OF_ROUTE_RULE, Route
from smtp_gateway.config.resource.signing import RECORD_NAME_RULE, Dkim
from smtp_gateway.config.resource.storage import CONNECTIONS_RULE, RESERVE_RULE, LimitsSpec, SpoolSpec
from smtp_gateway.config.resource.words import API_VERSION, KIND, NAME_LENGTH, Hostname, list_map
from smtp_gateway.config.rules import Rule


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
    listeners: Annotated[tuple[SafeListener, ...], Field(min_length=1, max_length=8), LISTENERS_RULE] = Field(
        default=DEFAULT_LISTENERS, description="Ports on which mail is accepted.", json_schema_extra=list_map("name")
    )
    tls: Annotated[Tls, TLS_RULE, ADDITIONAL_RULE] | None = Field(
        default=None,
        description="The listeners' certificate, and clients'. Without a source for it the operator issues one, from an authority of the gateway's own.",
    )
    logins: Annotated[tuple[LoginSource, ...], Field(max_length=64), LOGINS_RULE] = Field(
        default=(),
        description="Who may send mail. Without logins nobody can, but through listeners with auth: None.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    routes: Annotated[
        tuple[Annotated[Route, TLS_OF_ROUTE_RULE], ...], Field(min_length=1, max_length=32), LAST_ROUTE_RULE, HIDDEN_ROUTE_RULE
    ] = Field(
        default=(Route(name="default"),),
        description="Where mail goes: the first route that matches a recipient and who sends to it. The last has no match. By default all mail goes straight to the recipients' MX.",
        json_schema_extra=list_map("name"),
    )
    delivery: DeliverySpec = Field(default=DeliverySpec(), description="How the gateway connects to other servers, whatever the route.")
    dkim: Annotated[tuple[Annotated[Dkim, RECORD_NAME_RULE], ...], Field(max_length=32)] = Field(
        default=(),
        description="Keys that sign mail, after it was rewritten: of clients that are known by a login or by their network, and bounces. The status shows the DNS records to publish.",
        json_schema_extra=list_map("domain", "selector"),
    )
    spool: Annotated[SpoolSpec, RESERVE_RULE] = Field(default=SpoolSpec(), description="Where accepted mail is kept until it is delivered.")
    limits: Annotated[LimitsSpec, CONNECTIONS_RULE] = Field(
        default=LimitsSpec(), description="What one message may be, and how many connections there may be."
    )
    headers: HeadersSpec = Field(default=HeadersSpec(), description="What is written into messages.")
    bounces: BouncesField = Field(default=BouncesSpec(), description="Notices to senders about what became of their mail.")
    service: Annotated[ServiceSpec, LOAD_BALANCER_RULE, LOAD_BALANCER_CLASS_RULE, TRAFFIC_RULE, FAMILIES_RULE] = Field(
        default=ServiceSpec(), description="The Service that applications send mail to."
    )
    network_policy: Annotated[NetworkPolicySpec, EXTRA_PORTS_RULE] = Field(
        default=NetworkPolicySpec(), description="The NetworkPolicy around the pods."
    )
    monitoring: MonitoringSpec = Field(default=MonitoringSpec(), description="How the pods are monitored.")
    pod_template: PodTemplate = Field(
        default=PodTemplate(), description="What is added to the pods: resources, placement, labels, annotations."
    )

    @property
    def certificate_issued(self) -> bool:
        """Whether the operator issues the listeners' certificate itself."""
        return self.tls is None or self.tls.issued

    @property
    def all_issued(self) -> bool:
        """Whether the operator issues every certificate that the listeners show."""
        return self.certificate_issued and (self.tls is None or self.tls.additional_secret_name is None)


CERTIFICATE_NAMES_RULE = Rule(
    "(has(self.tls) && has(self.tls.clientCertificates)) || self.logins.all(one, !has(one.certificateNames) || size(one.certificateNames) == 0)",
    "a login's certificateNames need tls.clientCertificates",
    lambda spec: (
        (spec.tls is not None and spec.tls.client_certificates is not None) or not any(source.certificate_names for source in spec.logins)
    ),
)
ROUTED_LOGINS_RULE = Rule(
    "self.routes.all(route, !has(route.match) || !has(route.match.logins)"
    " || route.match.logins.all(one, self.logins.exists(source, source.secretRef.name == one)))",
    "a route's match.logins must be Secrets that spec.logins names",
    lambda spec: (
        {name for route in spec.routes for name in (route.match and route.match.logins) or ()}
        <= {source.secret_ref.name for source in spec.logins}
    ),
)
NODE_PORT_RULE = Rule(
    "self.service.type != 'ClusterIP' || self.listeners.all(one, !has(one.nodePort))",
    "a listener's nodePort needs service.type NodePort or LoadBalancer",
    lambda spec: spec.service.external or all(one.node_port is None for one in spec.listeners),
)
SPEC_RULES = (NODE_PORT_RULE, CERTIFICATE_NAMES_RULE, ROUTED_LOGINS_RULE, BOUNCES_ROUTE_RULE)
"""What several parts of the spec have to agree on."""


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
    spec: Annotated[Spec, *SPEC_RULES]
