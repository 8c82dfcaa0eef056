"""A whole gateway out of its parts: the only module that names the concrete ones.

Order of opening: certificate, spool, the queue's socket, HTTP port, listeners, and then what works in the background; closing is the
reverse. A part that fails for good (a crashed loop of dispatch, say) ends the process instead of leaving half a gateway: what follows is
a restart, and the spool has kept everything.
"""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from smtp_gateway import __version__
from smtp_gateway.admin import Admin
from smtp_gateway.config import folder as mounted
from smtp_gateway.config.model import ListenerTls
from smtp_gateway.config.rendered import RenderedConfigError, config_hash, load
from smtp_gateway.dispatch import Dispatch
from smtp_gateway.intake import Intake
from smtp_gateway.lifecycle import Lifecycle, Phase
from smtp_gateway.listener.connection import IDLE_TIMEOUT, Front
from smtp_gateway.listener.server import Listeners
from smtp_gateway.listener.tls import Certificate
from smtp_gateway.mailq.server import QueueSocket
from smtp_gateway.policy.auth import Logins
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.prometheus import CONTENT_TYPE, PrometheusObserver
from smtp_gateway.usage import GRACE, HTTP_PORT

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from pathlib import Path

    from smtp_gateway.config.model import Config
    from smtp_gateway.dispatch import Surroundings

RELOAD_EVERY = 1.0
"""Seconds between two looks at the folder of the configuration."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Settings:
    """What a process is told beside its configuration: folders and ports."""

    tls: Path
    """The folder of `tls.crt` and `tls.key`."""
    spool: Path
    config: Path | None = None
    """The folder of the rendered configuration, followed for changes; None when the configuration does not change."""
    host: str | None = None
    """Where the listeners listen; None for all addresses."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Ports of listeners by name, instead of those of the configuration."""
    http_host: str | None = None
    http_port: int = HTTP_PORT
    grace: float = GRACE
    socket: Path | None = None
    """Where commands on the queue are answered; None when they are not."""
    idle_timeout: float = IDLE_TIMEOUT


class Gateway:
    """One gateway. `run` is its life; `life.stop` ends it."""

    def __init__(self, config: Config, settings: Settings, surroundings: Surroundings | None = None) -> None:
        """Prepare a gateway that does what *config* says; nothing is opened before `run`."""
        self._config = config
        self._settings = settings
        self._surroundings = surroundings
        self._observer = PrometheusObserver()
        self._logins = Logins(config.logins)
        self._listeners = Listeners()
        self._admin = Admin(self.not_ready, self._observer.page, CONTENT_TYPE)
        self._spool: DiskSpool
        self._intake: Intake
        self._dispatch: Dispatch
        self.life = Lifecycle(settings.grace)

    @property
    def ports(self) -> Mapping[str, int]:
        """The ports of the listeners in use, by name."""
        return self._listeners.ports

    @property
    def http_port(self) -> int:
        """The port of probes and metrics in use."""
        return self._admin.port

    async def run(self) -> None:
        """Start, be ready, drain and stop.

        Raises `SpoolUnavailableError`, `CertificateError`, `BindError`, `SocketTakenError` or `HttpPortError` when it cannot start, and an
        exception group when something in the background failed.
        """
        async with AsyncExitStack() as stack:
            _log.info("starting", version=__version__, config=config_hash(self._config), spool=str(self._settings.spool))
            await self._open(stack)
            # What start-up made lives as long as the process: the collector need not visit it again.
            gc.collect()
            gc.freeze()
            await self.life.serve(self)
        self.life.phase = Phase.STOPPED
        _log.info("stopped")

    async def _open(self, stack: AsyncExitStack) -> None:
        settings, config = self._settings, self._config
        certificate = await asyncio.to_thread(Certificate, settings.tls)
        self._spool = await DiskSpool.open(settings.spool, self._observer)
        self._spool.reserve(config.reserve)
        stack.push_async_callback(self._spool.close)
        self._observer.read_queue(self._read_queue)
        self._dispatch = Dispatch(self._spool, config, self._observer, self._surroundings)
        stack.push_async_callback(self._dispatch.stop, 0.0)
        self._intake = Intake(self._spool, config, self._observer, self._dispatch)
        if settings.socket is not None:
            await QueueSocket(self._spool, self._dispatch, self._observer).open(stack, settings.socket)
        await self._admin.open(stack, settings.http_host, settings.http_port)
        _log.info("probes and metrics", port=self._admin.port)
        stack.callback(self._listeners.stop_accepting)
        await self._listen(certificate)
        # The last to enter, so that what fails before reaches the caller as it is, and not in a group.
        background = await stack.enter_async_context(asyncio.TaskGroup())
        background.create_task(self._dispatch.run())
        self._accompany(stack, background, certificate.follow())
        if settings.config is not None:
            self._accompany(stack, background, self._follow(settings.config))

    def _accompany(self, stack: AsyncExitStack, background: asyncio.TaskGroup, work: Coroutine[None, None, None]) -> None:
        """Let *work* run in the background until *stack* closes."""
        stack.callback(background.create_task(work).cancel)

    async def _listen(self, certificate: Certificate) -> None:
        settings = self._settings
        for listener in self._config.listeners:
            front = Front(
                listener=listener.name,
                intake=self._intake,
                logins=self._logins,
                observer=self._observer,
                tls=certificate.context,
                sessions=self._listeners.sessions,
                timeout=settings.idle_timeout,
            )
            address = (settings.host, settings.ports.get(listener.name, listener.port))
            await self._listeners.open(front, address, implicit_tls=listener.tls is ListenerTls.IMPLICIT)
            _log.info("listening", listener=listener.name, port=self._listeners.ports[listener.name], tls=listener.tls.value)

    def not_ready(self) -> str | None:
        """Tell why mail cannot be taken now; None when it can."""
        if self.life.phase is not Phase.READY:
            return self.life.phase.value
        if not self._listeners.accepting:
            return "not listening"
        return self._spool.healthy()

    def _read_queue(self) -> tuple[int, float | None]:
        depth = self._spool.depth()
        return depth.messages, depth.oldest

    def stop_accepting(self) -> None:
        """Take no new connections."""
        self._listeners.stop_accepting()

    async def finish_sessions(self, within: float) -> int:
        """Let sessions end within *within* seconds; return how many had to be cut."""
        return await self._listeners.finish_sessions(within)

    async def stop_delivery(self, within: float) -> None:
        """Let deliveries in flight end, or release them, within *within* seconds."""
        await self._dispatch.stop(within)

    async def _follow(self, folder: Path) -> None:
        complaint = ""
        async for _ in mounted.changes(folder, RELOAD_EVERY):
            try:
                config = await asyncio.to_thread(load, folder)
            except RenderedConfigError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    _log.warning("configuration not loaded", reason=complaint, in_force="the one before")
                continue
            complaint = ""
            if config != self._config:
                self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        """Do from now on what *config* says, without dropping a session; its listeners count from the next start."""
        listeners_differ = config.listeners != self._config.listeners
        self._config = config
        self._logins.reconfigure(config.logins)
        self._spool.reserve(config.reserve)
        self._intake.reconfigure(config)
        self._dispatch.reconfigure(config)
        _log.info("configuration loaded", config=config_hash(config), listeners_wait_for_restart=listeners_differ)
