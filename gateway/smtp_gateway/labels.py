"""What the labels of the metrics can say: the words of every part that counts something, and the names of a configuration."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from smtp_gateway.authentication import Reason
from smtp_gateway.bouncing import Fate
from smtp_gateway.config.model import ListenerAuth, ListenerTls
from smtp_gateway.content.report import Kind
from smtp_gateway.listener.ceilings import Ceiling
from smtp_gateway.listener.entrance import MALFORMED, MISSING, UNTRUSTED
from smtp_gateway.listener.external import EXTERNAL
from smtp_gateway.listener.handshakes import Failure
from smtp_gateway.mail import reply
from smtp_gateway.telemetry.bounds import NOTICES
from smtp_gateway.telemetry.expected import Names, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smtp_gateway.config.model import Config, Listener, Route

_REFUSING = (451, 452, 530, 550, 552, 553, 554)
"""The codes by which mail is refused where its client speaks SMTP properly: what else there is tells of faulty programs."""

WORDS = Words(
    connections=(*(one.value for one in Ceiling), UNTRUSTED, MALFORMED, MISSING),
    versions=("TLSv1.2", "TLSv1.3"),
    handshakes=tuple(one.value for one in Failure),
    mechanisms=(EXTERNAL, "LOGIN", "PLAIN"),
    authentications=tuple(one.value for one in Reason),
    refusals=tuple(product(("MAIL", "RCPT", "DATA", "BDAT"), map(str, _REFUSING))),
    postponements=(str(reply.TRY_AGAIN_LATER.code), str(reply.SPOOL_FULL.code)),
    notices=tuple((kind.value, fate.value) for kind, fate in product(Kind, Fate)),
)
"""What the program says itself. Versions of TLS are those that `smtp_gateway.tls` and `smtp_gateway.delivery.trust` allow."""


def names(config: Config) -> Names:
    """Return what *config* gives names to."""
    logins = _logins(config)
    strangers = tuple(f"listener/{listener.name}" for listener in config.listeners if listener.auth is ListenerAuth.NONE)
    return Names(
        listeners=tuple(listener.name for listener in config.listeners),
        routes=tuple(route.name for route in config.routes),
        identities=frozenset((*logins, *strangers)),
        arrivals=tuple((listener.name, one) for listener in config.listeners for one in _senders(listener, logins)),
        departures=tuple((route.name, one) for route in config.routes for one in _on(route, config, (*logins, *strangers))),
    )


def _logins(config: Config) -> tuple[str, ...]:
    certified = config.client_certificates.logins if config.client_certificates else ()
    return tuple(sorted({login.identity for login in config.logins} | {login.identity for login in certified}))


def _senders(listener: Listener, logins: tuple[str, ...]) -> Iterator[str]:
    """Yield who may send at *listener*: without TLS there is no AUTH."""
    if listener.auth is ListenerAuth.NONE:
        yield f"listener/{listener.name}"
    if listener.tls is not ListenerTls.NONE:
        yield from logins


def _on(route: Route, config: Config, everybody: tuple[str, ...]) -> Iterator[str]:
    """Yield whose mail may take *route*; notices have neither a sender nor a login that it could match."""
    yield from (one for one in everybody if not route.logins or one in route.logins)
    taken = not (route.sender_domains or route.logins) if config.bounces.route is None else route.name == config.bounces.route
    if taken:
        yield NOTICES
