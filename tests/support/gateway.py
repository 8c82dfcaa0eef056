"""Gateways on loopback: the way in alone over an in-memory spool, a whole gateway in this process, and a real process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Self

import trustme
from pydantic import SecretStr

from smtp_gateway import authentication
from smtp_gateway.app import Gateway, Settings
from smtp_gateway.authentication import Authentication
from smtp_gateway.config.model import Config, HopTls, Limits, Listener, ListenerTls, Login, Route, Smarthost
from smtp_gateway.config.rendered import render
from smtp_gateway.intake import Intake
from smtp_gateway.listener.connection import Front
from smtp_gateway.listener.server import Listeners
from smtp_gateway.listener.timeouts import Timeouts
from smtp_gateway.policy.certified import Certified
from smtp_gateway.policy.relaying import Access
from smtp_gateway.spool.memory import MemorySpool, octets
from smtp_gateway.tls import Certificate
from tests.support.observing import RecordingObserver
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from smtp_gateway.dispatch import Surroundings
    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.spool.api import Entry, NewMessage

HOSTNAME = "mail.example.com"
PATIENCE = 20.0
"""Seconds that a process may take to start or to stop."""


@cache
def authority() -> trustme.CA:
    """Return the certificate authority of all tests."""
    return trustme.CA()


def trusting() -> ssl.SSLContext:
    """Return a client's TLS context that trusts the tests' authority and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


def write_pair(folder: Path, name: str = "localhost", *, stem: str = "tls", rsa: bool = False) -> Path:
    """Write a fresh pair for *name* into *folder*, ECDSA or *rsa*, into files called *stem*, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    leaf = authority().issue_cert(name, "127.0.0.1", key_type=trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA)
    (folder / f"{stem}.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    (folder / f"{stem}.key").write_bytes(leaf.private_key_pem.bytes())
    return folder


def certified(context: ssl.SSLContext, *names: str, by: trustme.CA | None = None) -> ssl.SSLContext:
    """Let clients of *context* show a certificate for *names*, signed by the tests' authority unless *by* another."""
    (by or authority()).issue_cert(*names).configure_cert(context)
    return context


def login(name: str = "app", password: str = "secret", identity: str = "app-logins") -> Login:  # noqa: S107 the password of a test
    """Return one login."""
    return Login(login=name, password=SecretStr(password), identity=identity)


def config(next_hop: int = 9, *, logins: tuple[Login, ...] | None = None, limits: Limits | None = None) -> Config:
    """Return a configuration with a listener of each kind and everything relayed to port *next_hop* of loopback."""
    return Config(
        hostname=HOSTNAME,
        listeners=(
            Listener(name="submission", port=587),
            Listener(name="submissions", port=465, tls=ListenerTls.IMPLICIT),
        ),
        logins=(login(),) if logins is None else logins,
        routes=(Route(name="default", smarthosts=(Smarthost(host="127.0.0.1", port=next_hop, tls=HopTls.NONE),)),),
        limits=limits or Limits(),
    )


class RecordingSpool(MemorySpool):
    """An in-memory spool that remembers what it was given, and can be told to fail."""

    def __init__(self) -> None:
        """Begin empty and well."""
        super().__init__()
        self.messages: list[NewMessage] = []
        self.leased: list[MessageId] = []
        self.fault: Exception | None = None
        self.ill: str | None = None

    def put(self, message: NewMessage, *, leased: bool = False) -> asyncio.Future[Entry]:
        """Take *message*, or fail with the fault."""
        if self.fault is not None:
            done: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
            done.set_exception(self.fault)
            return done
        self.messages.append(message)
        self.leased += [message.id] if leased else []
        return super().put(message, leased=leased)

    def healthy(self) -> str | None:
        """Say the illness."""
        return self.ill

    @property
    def bodies(self) -> list[bytes]:
        """The bodies as they were sent: see `as_sent`."""
        return [as_sent(octets(message)) for message in self.messages]


_ADDED = re.compile(
    rb"Received: from .*\r\n\tby .* id (\w+);\r\n\t(.*)\r\n"
    rb"(?:Date: \2\r\n)?(?:Message-ID: <\1@[^\r]*>\r\n)?(?:\r\n(?![!-9;-~]+[ \t]*:)(?!\r\n)(?!\.\r\n$))?"
)
"""The trace header, the fields that were added at that time under that name, and the empty line before a text without fields."""


def as_sent(body: bytes) -> bytes:
    """Return *body*, as the gateway keeps it, as its client sent it, but for blind copies and one case: a text that begins with an empty line."""
    found = _ADDED.match(body)
    assert found, body[:500]
    return body[found.end() :]


class RecordingOnward:
    """What comes behind intake: remembers what it was handed."""

    def __init__(self) -> None:
        """Begin welcoming everything."""
        self.welcome = True
        self.taken: list[tuple[Entry, bytes]] = []
        self.woken = 0

    def welcomes(self, identity: str) -> bool:
        """Say what the test wants."""
        assert identity
        return self.welcome

    def take(self, entry: Entry, body: bytes) -> None:
        """Remember."""
        self.taken.append((entry, body))

    def wake(self) -> None:
        """Count."""
        self.woken += 1


async def at_once(_delay: float, _gone: asyncio.Future[None] | None) -> None:
    """Wait for nothing: refusals of AUTH that do not take their time."""


IMPATIENT = authentication.Sources(pause=at_once)


@dataclass
class Reception:
    """The way in, open on loopback."""

    intake: Intake
    authentication: Authentication
    listeners: Listeners
    spool: RecordingSpool
    observer: RecordingObserver
    onward: RecordingOnward

    @property
    def port(self) -> int:
        """The port of the STARTTLS listener."""
        return self.listeners.ports["submission"]


def alike(seconds: float) -> Timeouts:
    """Return the same patience for every phase."""
    return Timeouts(*[seconds] * len(fields(Timeouts)))


@contextlib.asynccontextmanager
async def reception(
    folder: Path, configuration: Config | None = None, *, patience: float | Timeouts = 60.0, sources: authentication.Sources = IMPATIENT
) -> AsyncIterator[Reception]:
    """Open the way in with a certificate in *folder*/tls."""
    configuration = configuration or config()
    spool, observer, onward = RecordingSpool(), RecordingObserver(), RecordingOnward()
    intake = Intake(spool, configuration, observer, onward)
    clients = configuration.client_certificates
    certificate = await asyncio.to_thread(lambda: Certificate(write_pair(folder / "tls"), clients=clients))
    patience = patience if isinstance(patience, Timeouts) else alike(patience)
    listeners, certified = Listeners(), Certified(clients)
    gate, access = Authentication(configuration.logins, observer, sources), Access(configuration.listeners)
    for each in configuration.listeners:
        context = lambda: certificate.context  # noqa: E731 as it is when it is asked for
        terms = partial(access.terms, each.port)
        front = Front(
            each.name, intake, gate, observer, context, listeners.sessions, patience, terms, listeners.admission, certified=certified
        )
        await listeners.open(front, ("127.0.0.1", 0))
    try:
        yield Reception(intake, gate, listeners, spool, observer, onward)
    finally:
        listeners.stop_accepting()
        await listeners.finish_sessions(0.0)
        gate.close()


@contextlib.asynccontextmanager
async def running(folder: Path, configuration: Config, surroundings: Surroundings | None = None, **changed: Any) -> AsyncIterator[Gateway]:
    """Run a whole gateway in this process until the end, with its spool in *folder*/spool and *changed* settings."""
    tls = await asyncio.to_thread(write_pair, folder / "tls")
    ports = {each.name: 0 for each in configuration.listeners}
    usual = Settings(tls, folder / "spool", host="127.0.0.1", ports=ports, http_host="127.0.0.1", http_port=0, grace=5.0)
    settings = replace(usual, **changed)
    gateway = Gateway(configuration, settings, surroundings)
    life = asyncio.create_task(gateway.run())
    ready = asyncio.create_task(gateway.life.ready())
    try:
        await asyncio.wait({life, ready}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
        yield gateway
    finally:
        ready.cancel()
        gateway.life.stop()
        await asyncio.wait_for(life, PATIENCE)


class Process:
    """`smtp-gateway run` as a process of its own."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        """Start it in *folder*, where its standard error goes into a file."""
        self.folder = folder
        self.logs: list[dict[str, Any]] = []
        self._errors = folder / "errors.txt"
        with self._errors.open("w") as errors:
            line = [sys.executable, "-m", "smtp_gateway", *arguments]
            self._process = subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True)
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    @classmethod
    @contextlib.contextmanager
    def of(cls, arguments: Sequence[str], folder: Path) -> Iterator[Self]:
        """Start it, and make sure that it is gone in the end."""
        started = cls(arguments, folder)
        try:
            yield started
        finally:
            started.close()

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.logs.append(json.loads(line))

    def render(self, configuration: Config) -> None:
        """Give it another configuration."""
        write_config(self.folder / "config", configuration)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        return [line for line in list(self.logs) if line["event"] == name]

    def wait_for(self, name: str, times: int = 1) -> dict[str, Any]:
        """Wait until an event was logged *times* times, and return its last line."""
        eventually_sync(lambda: len(self.events(name)) >= times, PATIENCE, f"event {name!r} in {self.logs}")
        return self.events(name)[-1]

    @property
    def ports(self) -> dict[str, int]:
        """The ports of the listeners."""
        return {line["listener"]: line["port"] for line in self.events("listening")}

    def get(self, path: str) -> tuple[int, str]:
        """Ask the HTTP port; return status and text."""
        url = f"http://127.0.0.1:{self.events('probes and metrics')[-1]['port']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal."""
        os.kill(self._process.pid, number)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        code = self._process.wait(PATIENCE)
        self._reading.join(PATIENCE)
        return code

    def close(self) -> None:
        """Make sure it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def write_config(folder: Path, configuration: Config) -> None:
    """Write *configuration* into *folder* as the operator renders it."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in render(configuration):
        for name, content in shard.items():
            (folder / f"{name}.new").write_bytes(content)
    for new in sorted(folder.glob("*.new")):
        new.replace(new.with_suffix(""))


@contextlib.contextmanager
def process(
    folder: Path, configuration: Config, *, grace: float = 5.0, socket: Path | None = None, further: Sequence[str] = ()
) -> Iterator[Process]:
    """Run a gateway as in a pod, on loopback and ports of the system's choice: ready when this is entered, gone when it is left."""
    write_config(folder / "config", configuration)
    write_pair(folder / "tls")
    options = {"config": "config", "tls": "tls", "spool": "spool", "grace": str(grace)}
    options |= {"host": "127.0.0.1", "http-host": "127.0.0.1", "http-port": "0"}
    options |= {} if socket is None else {"socket": str(socket)}
    arguments = ["run", *(part for name, value in options.items() for part in (f"--{name}", value))]
    arguments += [part for each in configuration.listeners for part in ("--port", f"{each.name}=0")]
    with Process.of([*arguments, *further], folder) as started:
        started.wait_for("ready")
        yield started
