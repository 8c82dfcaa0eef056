"""What is written into messages."""

from __future__ import annotations

from pydantic import Field

from smtp_gateway.config.habits import Model
from smtp_gateway.config.model import ClientAddress


class HeadersSpec(Model):
    """What is written into messages."""

    client_address: ClientAddress = Field(
        default=ClientAddress.FULL,
        description="What the Received header of mail from clients with a login says of the client: Full, its address and what it calls itself; Omit, neither, for the privacy of people who send from home. Logs keep the address. Mail that is relayed without a login always carries both.",
    )
