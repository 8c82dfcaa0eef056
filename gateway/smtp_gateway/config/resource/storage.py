"""Where accepted mail is kept, how much of it there may be, and from how many connections it comes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from smtp_gateway.config import units
from smtp_gateway.config.habits import Model
from smtp_gateway.config.resource.words import Duration, Quantity
from smtp_gateway.config.rules import Rule


class Volume(Model):
    """The volume of one pod's queue. Volumes outlive pods, scaling in and the gateway itself."""

    size: Quantity = Field(
        default="1Gi", description="Size of each pod's volume. Can be raised where the StorageClass allows volumes to grow."
    )
    storage_class_name: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="StorageClass of the volumes; the cluster's default class when absent."
    )


class SpoolSpec(Model):
    """Where accepted mail is kept until it is delivered."""

    volume: Annotated[
        Volume,
        Rule(
            # Not with the optional `self.?storageClassName`: the API server takes its comparison to cost without bound.
            "has(self.storageClassName) == has(oldSelf.storageClassName)"
            " && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
            "the StorageClass of a gateway's volumes cannot be changed: create another gateway and move the applications to it",
        ),
    ] = Field(default=Volume(), description="The volume of each pod.")
    lifetime: Duration = Field(default="5d", description="How long undelivered mail is tried before it goes back to its sender.")
    reserve: Quantity | None = Field(
        default=None,
        description="Part of each volume that new mail may not use, so that the deliveries of old mail can be written down when it is full. 16Mi, or the twentieth part of a smaller volume, when absent; never less than 4Mi.",
    )


RESERVE_RULE = Rule(
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
    """What one message may be, and how many connections there may be in one pod."""

    message_size: Annotated[Quantity, _MESSAGE_SIZE_RULE] = Field(
        default="25Mi", description="Largest message, as the SIZE that clients are told (RFC 1870): 64Ki to 128Mi."
    )
    recipients: Annotated[int, Field(ge=1, le=10_000)] = Field(default=100, description="Most recipients of one message.")
    connections: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1000,
        description="Most connections of one pod, all listeners together. Further ones are told 421 4.3.2 and come again. An idle connection takes some 50 KiB of memory.",
    )
    connections_per_client: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Most connections to one pod from one client: an IPv4 address, or a /64 of IPv6. Further ones are told 421 4.7.0. When absent 50; or none where the Service is reached from outside with externalTrafficPolicy Cluster and a listener has no proxyProtocol, because then all clients have the nodes' addresses.",
    )


CONNECTIONS_RULE = Rule(
    "!has(self.connectionsPerClient) || self.connectionsPerClient <= self.connections",
    "connectionsPerClient must not be more than connections, which is the most that there are in all",
    lambda limits: limits.connections_per_client is None or limits.connections_per_client <= limits.connections,
)
