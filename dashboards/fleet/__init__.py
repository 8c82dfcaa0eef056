"""All gateways at a glance: what a person who was woken looks at, from top to bottom."""

from __future__ import annotations

from dashboards.fleet.glance import NOW
from dashboards.fleet.mail import MAIL, WAY_IN, WAY_OUT
from dashboards.fleet.pods import PODS, WORK
from dashboards.panels import Board, Row

FLEET_BOARD = Board(
    "fleet",
    "SMTP gateways",
    "All SMTP gateways: is mail accepted, delivered, late, refused; and is what does it well?",
    several=True,
    rows=(
        Row("Now", NOW),
        Row("Mail", MAIL),
        Row("The way out", WAY_OUT),
        Row("The way in", WAY_IN),
        Row("Pods", PODS),
        Row("The operator", WORK),
    ),
)
