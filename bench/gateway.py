"""`python -m bench.gateway FOLDER PORT NEXT_HOP logins|implicit|everybody`: the whole gateway, for `everybody` without the check of AUTH.

For `implicit` TLS begins with the connection, for the others after STARTTLS.

smtp-source, the load generator that all relays share, knows neither TLS nor AUTH. For its rows the check that wants both is
replaced here, and only here. All else is the gateway as it ships: listener, intake, spool, dispatch, delivery, log and metrics.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from pydantic import SecretStr

from bench.tools import APP, NEWSLETTER
from smtp_gateway.app import Gateway, Settings
from smtp_gateway.config.model import Config, HopTls, Limits, Listener, ListenerTls, Login, Route, Smarthost
from smtp_gateway.policy import checks
from smtp_gateway.telemetry import log

if TYPE_CHECKING:
    from smtp_gateway.mail.envelope import Peer
    from smtp_gateway.mail.reply import Reply
    from smtp_gateway.policy.relaying import Terms

LOGINS = tuple(
    Login(login=each.name, password=SecretStr(each.password), identity=each.name.partition("@")[0]) for each in (APP, NEWSLETTER)
)


async def main(folder: Path, port: int, next_hop: int, tls: ListenerTls) -> None:
    """Run until SIGTERM; *folder* has a folder `tls`."""
    config = Config(
        hostname="gateway.bench.example",
        listeners=(Listener(name="submission", port=port, tls=tls),),
        logins=LOGINS,
        routes=(Route(name="default", smarthosts=(Smarthost(host="127.0.0.1", port=next_hop, tls=HopTls.NONE),)),),
        limits=Limits(message_size=64 * 1024 * 1024, connections=100_000),
    )
    settings = Settings(folder / "tls", folder / "spool", host="127.0.0.1", http_host="127.0.0.1", http_port=0)
    gateway = Gateway(config, settings)
    gateway.life.follow_signals()
    await gateway.run()


def let_in(peer: Peer, terms: Terms) -> Reply | None:  # noqa: ARG001 as the function that it stands for
    """Refuse nobody."""
    return None


if __name__ == "__main__":
    if sys.argv[4] == "everybody":
        checks.transaction = let_in
    log.configure()
    tls = ListenerTls.IMPLICIT if sys.argv[4] == "implicit" else ListenerTls.START_TLS
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), tls))
