"""Bounces: who gets them, by which way, and when senders are warned that their mail is late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from smtp_gateway.config.habits import Model
from smtp_gateway.config.model import BounceTo
from smtp_gateway.config.resource.words import Duration, Mailbox, Name
from smtp_gateway.config.rules import Rule

if TYPE_CHECKING:
    from smtp_gateway.config.resource.gateway import Spec


class BouncesSpec(Model):
    """What becomes of the notices that the gateway writes about mail it took."""

    to: BounceTo = Field(
        default=BounceTo.SENDER,
        description="Who is told when mail cannot be delivered, or is late. Sender: its sender. Postmaster: the postmaster, who is told whose mail it was. Drop: nobody; the log and the metrics say it.",
    )
    postmaster: Mailbox | None = Field(
        default=None,
        description="Address that gets the notices with to: Postmaster. With to: Sender it gets those that their sender cannot be told; without it they are logged and counted.",
    )
    route: Name | None = Field(
        default=None,
        description="Name of the route that all notices take. Without one they are routed as other mail; many smarthosts refuse them, because notices have no sender.",
    )
    delay_warning: Duration | None = Field(
        default=None,
        description="How long after it was accepted mail may be undelivered until its sender is warned, once for each recipient. Without it only senders that asked for it (NOTIFY=DELAY) are warned, after 4h.",
    )


POSTMASTER_RULE = Rule(
    "self.to != 'Postmaster' || has(self.postmaster)",
    "to: Postmaster needs the postmaster's address",
    lambda bounces: bounces.to is not BounceTo.POSTMASTER or bounces.postmaster is not None,
)
DROP_RULE = Rule(
    "self.to != 'Drop' || (!has(self.postmaster) && !has(self.route) && !has(self.delayWarning))",
    "with to: Drop nothing is sent: postmaster, route and delayWarning would have no effect",
    lambda bounces: bounces.to is not BounceTo.DROP or not (bounces.postmaster or bounces.route or bounces.delay_warning),
)


def _knows_route(spec: Spec) -> bool:
    return spec.bounces.route is None or any(route.name == spec.bounces.route for route in spec.routes)


BOUNCES_ROUTE_RULE = Rule(
    "!has(self.bounces.route) || self.routes.exists(route, route.name == self.bounces.route)",
    "bounces.route must be the name of one of the routes",
    _knows_route,
)

BouncesField = Annotated[BouncesSpec, POSTMASTER_RULE, DROP_RULE]
