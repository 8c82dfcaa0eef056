"""`python -m bench.gateway FOLDER PORT NEXT_HOP`: the whole gateway, but for AUTH.

The load generator that all relays share knows neither TLS nor AUTH, so the check that wants both is replaced here, and only here. All
else is the gateway as it ships: listener, intake, spool, dispatch, delivery, log and metrics.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from smtp_gateway.app import Gateway, Settings
from smtp_gateway.config.certificate import new_authority
from smtp_gateway.config.model import Config, HopTls, Limits, Listener, Route, Smarthost
from smtp_gateway.policy import checks
from smtp_gateway.telemetry import log

if TYPE_CHECKING:
    from smtp_gateway.mail.envelope import Peer
    from smtp_gateway.mail.reply import Reply


async def main(folder: Path, port: int, next_hop: int) -> None:
    """Run until SIGTERM."""
    config = Config(
        hostname="gateway.bench.example",
        listeners=(Listener(name="submission", port=port),),
        routes=(Route(name="default", smarthosts=(Smarthost(host="127.0.0.1", port=next_hop, tls=HopTls.NONE),)),),
        limits=Limits(message_size=64 * 1024 * 1024),
    )
    settings = Settings(folder / "tls", folder / "spool", host="127.0.0.1", http_host="127.0.0.1", http_port=0)
    gateway = Gateway(config, settings)
    gateway.life.follow_signals()
    await gateway.run()


def prepare(folder: Path) -> None:
    """Write the certificate that a listener needs, although nobody asks for it."""
    pair = new_authority("bench", datetime.now(UTC))
    (folder / "tls").mkdir()
    (folder / "tls" / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls" / "tls.key").write_bytes(pair.key)


def let_in(peer: Peer) -> Reply | None:  # noqa: ARG001 as the function that it stands for
    """Refuse nobody."""
    return None


if __name__ == "__main__":
    place = Path(sys.argv[1])
    prepare(place)
    checks.transaction = let_in
    log.configure()
    uvloop.run(main(place, int(sys.argv[2]), int(sys.argv[3])))
