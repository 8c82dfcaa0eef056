"""Two gateways as processes of their own, one with the limits that people have and one with small ones, and a next hop that records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.model import Limits
from tests.clients.matrix import CLIENTS, RECIPIENTS, SIZE
from tests.clients.tools import Tools
from tests.support.background import background
from tests.support.gateway import Process, authority, config, process
from tests.support.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_INSTALLED = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session", autouse=True)
def tools(request: pytest.FixtureRequest) -> None:
    """Fetch what the clients are made of."""
    request.config.stash[_INSTALLED] = Tools().prepare()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was installed, and which versions ran."""
    if _INSTALLED in config.stash:
        installed = config.stash[_INSTALLED]
        terminalreporter.write_line(f"installed now: {' '.join(installed) or 'nothing'}")
        for client in CLIENTS:
            terminalreporter.write_line(f"{client.name}: {client.found()}")


@pytest.fixture(scope="session")
def sink() -> Iterator[Sink]:
    """A next hop in a thread of its own, so that clients may block."""
    with background() as loop:
        hop = Sink()
        loop.run(hop.start())
        yield hop
        loop.run(hop.stop())


@pytest.fixture(autouse=True)
def forgetful(sink: Sink) -> Iterator[None]:
    """What one test sent is no other's."""
    yield
    sink.taken.clear()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Process]:
    """A gateway with the usual limits."""
    with process(tmp_path_factory.mktemp("gateway"), config(sink.port)) as running:
        yield running


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[Process]:
    """A gateway whose limits are met at once."""
    with process(tmp_path_factory.mktemp("strict"), config(sink.port, limits=Limits(message_size=SIZE, recipients=RECIPIENTS))) as running:
        yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that accounts without rights may enter, which those of pytest are not: each session takes that right from all of them."""
    with Tools().folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def trusted() -> Iterator[Path]:
    """The certificate of the authority that clients trust."""
    with Tools().folder() as folder:
        authority().cert_pem.write_to_path(folder / "ca.crt")
        yield folder / "ca.crt"
