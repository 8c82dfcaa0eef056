"""What labels are expected to say: by a configuration, and by everything that counts."""

from __future__ import annotations

from ipaddress import ip_network

from pydantic import SecretStr

from smtp_gateway.config.model import Bounces, CertifiedLogin, ClientCertificates, Config, Listener, ListenerAuth, ListenerTls, Login, Route
from smtp_gateway.labels import WORDS, names
from smtp_gateway.telemetry.bounds import NOTICES

SUBMISSION = Listener(name="submission", port=587)
RELAY = Listener(name="relay", port=25, tls=ListenerTls.NONE, auth=ListenerAuth.NONE, allowed_networks=(ip_network("192.0.2.0/24"),))
LOGINS = (Login(login="a", password=SecretStr("x"), identity="app"), Login(login="b", password=SecretStr("y"), identity="app"))
DEFAULT = Route(name="default")


def test_listeners_have_whoever_may_send_there() -> None:
    """A login needs TLS, a certificate is one, and a Secret of several logins is one identity; strangers are their listener's."""
    clients = ClientCertificates(authority="x", logins=(CertifiedLogin(name="c.example", identity="certified"),))
    config = Config(hostname="h", listeners=(SUBMISSION, RELAY), logins=LOGINS, client_certificates=clients, routes=(DEFAULT,))

    assert set(names(config).arrivals) == {("submission", "app"), ("submission", "certified"), ("relay", "listener/relay")}
    assert names(config).identities == {"app", "certified", "listener/relay"}


def test_routes_have_whose_mail_may_take_them() -> None:
    """A route of some logins has these; notices have neither login nor sender, and take the way that is made for them if there is one."""
    routes = (Route(name="own", logins=("app",)), Route(name="from", sender_domains=("example.com",)), DEFAULT)
    config = Config(hostname="h", listeners=(SUBMISSION, RELAY), logins=LOGINS, routes=routes)
    both = {(route, one) for route in ("from", "default") for one in ("app", "listener/relay")}

    assert set(names(config).departures) == {("own", "app"), *both, ("default", NOTICES)}
    led = config.model_copy(update={"bounces": Bounces(route="from")})
    assert set(names(led).departures) == {("own", "app"), *both, ("from", NOTICES)}


def test_what_is_in_the_configuration_is_told_from_what_is_not() -> None:
    """By the labels that are names; words and the gateway's own identities are always there."""
    known = names(Config(hostname="h", listeners=(SUBMISSION,), logins=LOGINS, routes=(DEFAULT,)))

    assert known.have(("route", "identity"), ("default", "app"))
    assert known.have(("route", "identity"), ("default", NOTICES))
    assert not known.have(("route", "identity"), ("default", "gone"))
    assert not known.have(("route", "version"), ("gone", "TLSv1.3"))
    assert not known.have(("listener", "identity"), ("gone", "app"))


def test_words_are_all_there() -> None:
    """As many as docs/metrics.md says."""
    assert (len(WORDS.connections), len(WORDS.versions), len(WORDS.handshakes)) == (5, 2, 10)
    assert (len(WORDS.mechanisms), len(WORDS.authentications), len(WORDS.notices)) == (3, 5, 12)
    assert WORDS.postponements == ("451", "452")
