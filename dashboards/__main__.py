"""`python -m dashboards NAME`: print a dashboard as Grafana's JSON."""

from __future__ import annotations

import sys

from dashboards.fleet import FLEET_BOARD
from dashboards.gateway import GATEWAY_BOARD
from dashboards.grafana import written

BOARDS = {board.name: board for board in (FLEET_BOARD, GATEWAY_BOARD)}

if __name__ == "__main__":
    sys.stdout.write(written(BOARDS[sys.argv[1]]))
