"""How the gateway connects to other servers, whatever the route."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from smtp_gateway.config.habits import Model
from smtp_gateway.config.model import IpFamily


class DeliverySpec(Model):
    """How the gateway connects to other servers."""

    ip_families: Annotated[tuple[IpFamily, ...], Field(min_length=1, max_length=2)] = Field(
        default=tuple(IpFamily),
        description="Families of addresses to which connections are made. Leave one out where the cluster has no way out for it. The order says nothing.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
