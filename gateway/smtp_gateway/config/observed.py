"""The status of an `SmtpGateway`: what the operator saw, as the CRD describes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from smtp_gateway.config.habits import Model
from smtp_gateway.config.model import Port


class Condition(Model):
    """One thing that is true, false or unknown of the gateway (Kubernetes API conventions, typical status properties)."""

    type: Annotated[str, Field(max_length=316)] = Field(
        description="What is judged: Ready, Progressing, ConfigValid, ReferencesResolved, CertificateValid, UpstreamReachable or QueueHealthy."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: Annotated[str, Field(min_length=1, max_length=1024)] = Field(description="The cause in one word, for programs.")
    message: Annotated[str, Field(max_length=32768)] = Field(description="The cause in a sentence, for people.")
    observed_generation: Annotated[int, Field(ge=0)] = Field(default=0, description="The generation of the resource that was judged.")
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(
        description="When the status last changed."
    )


class Endpoint(Model):
    """One address that applications send mail to."""

    name: str = Field(description="Name of the listener.")
    address: str = Field(description="Name of the Service, as other namespaces reach it.")
    port: Port = Field(description="Port of the listener.")
    external_addresses: Annotated[tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=32)] | None = Field(
        default=None,  # and not an empty list, which the API server would put back whenever the operator leaves it out
        description="Addresses or names of the load balancer, on the same port; absent as long as there are none.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    node_port: Port | None = Field(default=None, description="Port of every node behind which the listener is, where the Service has one.")


class Queue(Model):
    """Mail that waits in the pods, held mail included: written with a condition's change, else at most once a minute."""

    messages: Annotated[int, Field(ge=0)] = Field(description="Messages in the queues of all pods.")
    oldest_message_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = Field(
        default=None, description="When the oldest message that is not held was accepted."
    )


class SigningRecord(Model):
    """The DNS record without which receivers believe no signature of a key."""

    domain: str = Field(description="Domain of the key.")
    selector: str = Field(description="Selector of the key.")
    key: str = Field(description="Kind of the key: Ed25519, or RSA with its number of bits.")
    record_name: Annotated[str, Field(max_length=253)] = Field(description="Name of the TXT record.")
    record: Annotated[str, Field(max_length=1024)] = Field(
        description="Text of the TXT record; in a zone file it is cut into strings of at most 255 characters."
    )


class Configuration(Model):
    """Which configuration the pods should run, and how many do. Nothing restarts for a change of it."""

    hash: str = Field(description="The beginning of the configuration's SHA-256.")
    pods_current: Annotated[int, Field(ge=0)] = Field(description="Pods that have it in force.")


class Status(Model):
    """What the gateway is, as the operator last saw it."""

    observed_generation: Annotated[int, Field(ge=0)] = Field(
        default=0, description="The generation of the resource that this status is about."
    )
    replicas: Annotated[int, Field(ge=0)] = Field(default=0, description="Pods that exist.")
    ready_replicas: Annotated[int, Field(ge=0)] = Field(default=0, description="Pods that accept mail.")
    selector: str = Field(default="", description="Label selector of the pods, for autoscalers.")
    endpoints: tuple[Endpoint, ...] = Field(
        default=(),
        description="Where applications send mail.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    dkim: tuple[SigningRecord, ...] | None = Field(
        default=None,
        description="What to publish of the keys in force that sign mail.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    queue: Queue | None = Field(default=None, description="Mail that waits.")
    configuration: Configuration | None = Field(default=None, description="The configuration in force.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="What is true of the gateway; Ready is the one to wait for.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
