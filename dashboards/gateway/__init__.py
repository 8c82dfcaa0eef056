"""One gateway in depth: the way of a message through its pods, from the connection to the next hop."""

from __future__ import annotations

from dashboards.gateway.glance import NOW
from dashboards.gateway.pods import PODS
from dashboards.gateway.way_in import SPOOL, WAY_IN, WHO
from dashboards.gateway.way_out import PACE, ROUTES
from dashboards.panels import Board, Row

GATEWAY_BOARD = Board(
    "gateway",
    "SMTP gateway",
    "One SMTP gateway in depth: the way of mail through its pods.",
    several=False,
    rows=(
        Row("Now", NOW),
        Row("The way in", WAY_IN),
        Row("The spool", SPOOL),
        Row("Who sends", WHO),
        Row("The way out", ROUTES),
        Row("Pacing", PACE),
        Row("Pods", PODS),
    ),
)
