"""What the world looks like: which names there are, who is behind them, and what the gateway is told about it."""

from __future__ import annotations

import os
import smtplib
import ssl
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from smtp_gateway.config.model import HopTls
from tests.support.gateway import HOSTNAME, Process, authority
from tests.support.sink import EXTENSIONS
from tests.support.waiting import eventually_sync
from tests.world.exchangers import CERTIFICATES, Exchangers, certified
from tests.world.names import Zone, unbound
from tests.world.network import DROPPING, NET, REJECTING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.sink import Sink

DOMAIN = "example"
POLICIES = {"none": HopTls.NONE, "opp": HopTls.OPPORTUNISTIC, "req": HopTls.REQUIRED, "ver": HopTls.VERIFY}
SIGNED = f"{NET}.66"
BACKUP = f"{NET}.20"
PATIENCE = 100.0
"""Seconds within which every message has come to something: a blocked port takes the gateway 30, and an unheard name server 20."""
_EVENTS = ("delivered", "deferred", "bounced")
_FIRST = 10
"""The last number of the address of the first exchanger."""
# Debian 12's OpenSMTPD offers STARTTLS and fails every handshake (its signing process and OpenSSL 3 do not agree), so that it is spoken
# to as any exchanger is: opportunistically, and then in the clear.
RECEIVERS = {"postfix": f"{NET}.101", "exim": f"{NET}.102", "opensmtpd": f"{NET}.103"}


def address_of(kind: str) -> str:
    """Return the address of the exchanger with a certificate of *kind*."""
    return f"{NET}.{_FIRST + CERTIFICATES.index(kind)}"


def zones() -> list[Zone]:
    """Return what the name server serves."""
    plain, signed, bogus = Zone("example."), Zone("signed.", signed=True), Zone("bogus.", signed=True, altered=True)
    for kind in CERTIFICATES:
        plain.add(f"{kind}.mx", "A", address_of(kind))
        for policy in POLICIES:
            plain.add(f"{kind}.{policy}", "MX", f"10 {kind}.mx")
    for name, address in (("backup.mx", BACKUP), ("dropping.mx", DROPPING), ("rejecting.mx", REJECTING), ("implicit", BACKUP), *ALONE):
        plain.add(name, "A", address)
    plain.add("both.mx", "AAAA", "fd00::1")
    plain.add("both.mx", "A", BACKUP)
    for name, values in MX.items():
        plain.add(name, "MX", *values)
    plain.add("sender", "MX", "10 valid.mx")
    plain.add("alias", "CNAME", "preferred")
    plain.add("alias.mx", "CNAME", "backup.mx")
    for name, address in RECEIVERS.items():
        plain.add(f"{name}.mx", "A", address)
        plain.add(name, "MX", f"10 {name}.mx")
    for zone in (signed, bogus):
        zone.add("mail", "MX", f"10 mx.{zone.name}")
        zone.add("mx", "A", SIGNED)
    return [plain, signed, bogus]


ALONE = (("dropping.alone", DROPPING), ("rejecting.alone", REJECTING))
"""Exchangers that nobody else's mail finds out about: one that could not be reached lately is tried behind the others."""
MX = {
    "preferred": ("20 backup.mx", "10 valid.mx"),
    "dropped": ("10 dropping.mx", "20 backup.mx"),
    "rejected": ("10 rejecting.mx", "20 backup.mx"),
    "prohibited": ("10 rejecting.alone",),
    "blocked": ("10 rejecting.alone", "20 dropping.alone"),
    "null": ("0 .",),
    "aliased": ("10 alias.mx",),
    "both": ("10 both.mx",),
    "ours": (f"10 {HOSTNAME}.", "20 backup.mx"),
    "homeless": ("10 nowhere.mx",),
    "many": ("10 backup.mx", *(f"20 {'x' * 50}-{number}.mx" for number in range(30))),
}
"""The mail exchangers of domains below example. `many` has more than an answer over UDP may hold (RFC 1035 section 4.2.1)."""


def manifest() -> str:
    """Return what the gateway is run from."""
    routes = [
        *(_route(f"mx-{policy}", f"*.{policy}.{DOMAIN}", tls=tls.value) for policy, tls in POLICIES.items()),
        *(
            _route(
                f"{kind}-{policy}",
                f"{kind}.relay-{policy}.{DOMAIN}",
                smarthosts=[{"host": f"{kind}.mx.{DOMAIN}", "tls": POLICIES[policy].value}],
            )
            for policy in POLICIES
            for kind in CERTIFICATES
        ),
        _route(
            "failover",
            f"failover.{DOMAIN}",
            smarthosts=[{"host": f"{name}.mx.{DOMAIN}", "tls": "Opportunistic"} for name in ("nowhere", "rejecting", "backup")],
        ),
        _route("receivers", f"postfix.{DOMAIN}", f"exim.{DOMAIN}", tls="Verify"),
        {"name": "default", "retry": _RETRY},
    ]
    logins = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "logins"}, "stringData": {"app": "secret"}}
    spec = {
        "hostname": HOSTNAME,
        "listeners": [{"name": "submission", "port": 587}],
        "logins": [{"secretRef": {"name": "logins"}}],
        "routes": routes,
    }
    resource = {"apiVersion": "smtpgateway.io/v1alpha1", "kind": "SmtpGateway", "metadata": {"name": "world"}, "spec": spec}
    return yaml.safe_dump_all([logins, resource])


_RETRY = {"initial": "1h", "maximum": "1h"}
"""What is deferred is not tried again while a test looks at it."""


def _route(name: str, *domains: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "match": {"recipientDomains": list(domains)}, "retry": _RETRY, **more}


@dataclass
class World:
    """The gateway, and who is around it."""

    gateway: Process
    exchangers: dict[str, Sink]
    """By the kind of their certificates, and `backup` and `signed`."""
    folder: Path
    submitted: set[str] = field(default_factory=set)

    @contextmanager
    def client(self) -> Iterator[smtplib.SMTP]:
        """Give a client that has logged in."""
        with smtplib.SMTP("127.0.0.1", self.gateway.ports["submission"], "client.example", PATIENCE) as client:
            client.starttls(context=_trusting())
            client.login("app", "secret")
            yield client

    def submit(
        self,
        *recipients: str,
        message: bytes = b"Subject: Hello\r\n\r\nHow are you?\r\n",
        options: Sequence[str] = (),
        about: Sequence[str] = (),
    ) -> None:
        """Hand in *message* for each of *recipients* by itself, with *options* of MAIL, and with what is *about* each of them in RCPT."""
        with self.client() as client:
            for recipient in recipients:
                client.sendmail("me@sender.example", [recipient], message, options, about)
        self.submitted.update(recipients)

    def outcome(self, recipient: str) -> dict[str, Any]:
        """Return the log line about what the first attempt for *recipient* came to."""
        assert recipient in self.submitted
        eventually_sync(lambda: self._lines(recipient), PATIENCE, f"an outcome for {recipient}", pause=0.05)
        return self._lines(recipient)[0]

    def _lines(self, recipient: str) -> list[dict[str, Any]]:
        return [line for line in list(self.gateway.logs) if line["event"] in _EVENTS and recipient in line.get("to", ())]

    def metrics(self) -> str:
        """Return the page of metrics."""
        return self.gateway.get("/metrics")[1]


def _trusting() -> ssl.SSLContext:
    """Trust the gateway, whose certificate is its own here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make it, in the network that this process is in."""
    with ExitStack() as stack:
        stack.enter_context(unbound(folder / "unbound", zones()))
        exchangers = stack.enter_context(Exchangers())
        sinks = {kind: exchangers.open(address_of(kind), certified(kind, f"{kind}.mx.{DOMAIN}")) for kind in CERTIFICATES}
        sinks |= {
            "backup": exchangers.open(BACKUP),
            "signed": exchangers.open(SIGNED, certified("valid", "mx.signed"), (*EXTENSIONS, "REQUIRETLS")),
        }
        yield World(stack.enter_context(_gateway(folder / "gateway")), sinks, folder)


@contextmanager
def _gateway(folder: Path) -> Iterator[Process]:
    """Run it from a manifest. The authority of the tests is all that it trusts."""
    folder.mkdir()
    (folder / "gateway.yaml").write_text(manifest())
    authority().cert_pem.write_to_path(folder / "ca.crt")
    options = {"spool": "spool", "host": "127.0.0.1", "http-host": "127.0.0.1", "http-port": "0", "port": "submission=0", "grace": "1"}
    arguments = ["run", "gateway.yaml", *(part for name, value in options.items() for part in (f"--{name}", value))]
    os.environ["SSL_CERT_FILE"] = str(folder / "ca.crt")
    try:
        with Process.of(arguments, folder) as running:
            running.wait_for("ready")
            yield running
    finally:
        del os.environ["SSL_CERT_FILE"]
