"""A whole gateway out of its parts: the only module that names the concrete ones.

Order of opening: certificates, spool, the queue's socket, HTTP port, admin port, listeners, and then what works in the background; closing
is the reverse. A part that fails for good (a crashed loop of dispatch, say) ends the process instead of leaving half a gateway: what follows is
a restart, and the spool has kept everything.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from smtp_gateway import __version__, allocator, labels
from smtp_gateway.admin.pages import Pages
from smtp_gateway.admin.port import PROBES, REPORTS, Place, open_port
from smtp_gateway.admin.report import api
from smtp_gateway.authentication import Authentication
from smtp_gateway.config import folder as mounted
from smtp_gateway.config.rendered import RenderedConfigError, config_hash, load
from smtp_gateway.daybook import Daybook
from smtp_gateway.delivery import settings as delivery
from smtp_gateway.delivery.trust import Terms
from smtp_gateway.dispatch import Dispatch, Surroundings
from smtp_gateway.draining import Drain, share_of
from smtp_gateway.intake import Intake
from smtp_gateway.lifecycle import Lifecycle, Phase
from smtp_gateway.listener.connection import Front
from smtp_gateway.listener.server import Listeners
from smtp_gateway.listener.timeouts import USUAL, Timeouts
from smtp_gateway.mailq.server import QueueSocket
from smtp_gateway.policy.certified import Certified
from smtp_gateway.policy.relaying import Access
from smtp_gateway.probing.probe import Probe
from smtp_gateway.probing.upstreams import Upstreams
from smtp_gateway.qshape import QueueShape
from smtp_gateway.recovering import Recovering
from smtp_gateway.reporting import Sources, State, gauges, report
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.prometheus import CONTENT_TYPE, PrometheusObserver
from smtp_gateway.telemetry.recent import RecentOutcomes
from smtp_gateway.tls import Certificate, mutual_context
from smtp_gateway.usage import ADMIN_PORT, GRACE, HTTP_PORT
from smtp_gateway.waking import Waking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from smtp_gateway.config.model import Config, Listener

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
    """Where probes, metrics and reports are served; None for all addresses."""
    http_port: int = HTTP_PORT
    admin_tls: Path | None = None
    """The folder of `tls.crt`, `tls.key` and `ca.crt` for the admin port; None when there is none."""
    admin_port: int = ADMIN_PORT
    pod: str = ""
    """The pod's name; without one it is no member of a fleet, and never drains at a configuration's word."""
    grace: float = GRACE
    socket: Path | None = None
    """Where commands on the queue are answered; None when they are not."""
    timeouts: Timeouts = USUAL
    """The patience with clients."""


class Doors:
    """The listeners, which a drain closes and opens again."""

    def __init__(self, listeners: Sequence[Listener], settings: Settings, front: Callable[[Listener], Front]) -> None:
        """Listen for *listeners* where *settings* say; *front* tells what the sessions of one have in common."""
        self._listeners = listeners
        self._settings = settings
        self._front = front
        self.sockets = Listeners()
        self.open = False
        """Whether connections are taken, wherever there is a listener."""

    async def listen(self) -> None:
        """Take connections. Raises `BindError`."""
        for listener in self._listeners:
            address = (self._settings.host, self._settings.ports.get(listener.name, listener.port))
            await self.sockets.open(self._front(listener), address)
            _log.info(
                "listening",
                listener=listener.name,
                port=self.sockets.ports[listener.name],
                tls=listener.tls.value,
                auth=listener.auth.value,
            )
        self.open = True

    def stop_accepting(self) -> None:
        """Take no new connections."""
        self.open = False
        self.sockets.stop_accepting()

    async def finish_sessions(self, within: float) -> int:
        """Let sessions end within *within* seconds; return how many had to be cut."""
        return await self.sockets.finish_sessions(within)


class Gateway:
    """One gateway. `run` is its life; `life.stop` ends it."""

    def __init__(self, config: Config, settings: Settings, surroundings: Surroundings | None = None) -> None:
        """Prepare a gateway that does what *config* says; nothing is opened before `run`."""
        self._config, self._hash = config, config_hash(config)
        self._problem = ""
        """Why a newer configuration could not be loaded."""
        self._settings = settings
        self._surroundings = replace(surroundings or Surroundings(), share=partial(share_of, settings.pod))
        self._metrics = PrometheusObserver(labels.WORDS)
        self._metrics.expect(labels.names(config))
        self._observer = RecentOutcomes(self._metrics, time.monotonic)
        self._authentication = Authentication(config.logins, self._observer)
        self._certified = Certified(config.client_certificates)
        self._access = Access(config.listeners)
        self._doors = Doors(config.listeners, settings, self._front)
        self._drain = Drain(self._doors, settings.pod, settings.timeouts.command)
        self._certificate: Certificate
        self._spool: DiskSpool
        self._intake: Intake
        self._dispatch: Dispatch
        self._daybook: Daybook
        self._recovering: Recovering
        self._shape: QueueShape
        self._upstreams: Upstreams
        self._waking: Waking
        self.life = Lifecycle(settings.grace)
        self.http_port = 0
        """The port of probes and metrics in use."""
        self.admin_port = 0
        """The port of reports in use."""

    @property
    def ports(self) -> Mapping[str, int]:
        """The ports of the listeners in use, by name."""
        return self._doors.sockets.ports

    @property
    def accepting(self) -> bool:
        """Whether connections are taken."""
        return self._doors.open

    async def run(self) -> None:
        """Start, be ready, drain and stop.

        Raises `SpoolUnavailableError`, `CertificateError`, `BindError`, `SocketTakenError` or `PortError` when it cannot start, and an
        exception group when something in the background failed.
        """
        async with AsyncExitStack() as stack:
            allocator.tune()
            _log.info("starting", version=__version__, config=self._hash, spool=str(self._settings.spool))
            await self._open(stack)
            # What start-up made lives as long as the process: the collector need not visit it again.
            gc.collect()
            gc.freeze()
            await self.life.serve(self)
        self.life.phase = Phase.STOPPED
        _log.info("stopped")

    async def _open(self, stack: AsyncExitStack) -> None:
        settings, config = self._settings, self._config
        self._certificate = await asyncio.to_thread(Certificate, settings.tls, clients=config.client_certificates)
        certificates = [self._certificate]
        self._spool = await DiskSpool.open(settings.spool, self._observer)
        self._spool.reserve(config.reserve)
        stack.push_async_callback(self._spool.close)
        stack.callback(self._authentication.close)
        self._waking = Waking(self._spool, settings.spool, self._surroundings.clock)
        stack.push_async_callback(self._surroundings.tokens.close)
        self._dispatch = Dispatch(self._spool, config, self._observer, self._surroundings)
        self._daybook = Daybook(self._dispatch.pacing, settings.spool, self._surroundings.clock, self._surroundings.ticks)
        await self._daybook.restore()
        stack.push_async_callback(self._daybook.write)
        stack.push_async_callback(self._dispatch.stop, 0.0)
        self._recovering = Recovering(self._spool, self._dispatch, config, self._surroundings.clock)
        self._shape = QueueShape(self._spool, config)
        self._upstreams = Upstreams(config, self._probe(config), self._recovering.restored)
        self._dispatch.tell_misses(self._upstreams.doubt)
        self._intake = Intake(self._spool, config, self._observer, self._dispatch)
        if settings.socket is not None:
            await QueueSocket(self._spool, self._dispatch, self._observer).open(stack, settings.socket)
        await self._open_http(stack)
        if settings.admin_tls is not None:
            certificates.append(await asyncio.to_thread(Certificate, settings.admin_tls, mutual_context))
            await self._open_admin(stack, certificates[-1])
        stack.callback(self._doors.stop_accepting)
        self._drain.reconfigure(config.serving)
        if not self._drain.wanted:
            await self._doors.listen()
        # The last to enter, so that what fails before reaches the caller as it is, and not in a group.
        background = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(background.create_task(self._deliver()).cancel)
        following = [certificate.follow() for certificate in certificates]
        if settings.config is not None:
            following.append(self._follow(settings.config))
        following += [
            self._drain.run(),
            self._upstreams.run(),
            self._recovering.run(),
            self._waking.stay_awake(),
            self._daybook.run(),
            self._shape.run(),
        ]
        for work in following:
            stack.callback(background.create_task(work).cancel)

    async def _deliver(self) -> None:
        """Deliver what is in the spool, once it is awake."""
        await self._waking.wake(self._config)
        await self._dispatch.run()

    async def _open_http(self, stack: AsyncExitStack) -> None:
        self._metrics.read(lambda: gauges(self._sources()))
        pages = Pages(self.not_ready, self._metrics.exposition, CONTENT_TYPE).application()
        self.http_port = await open_port(stack, pages, Place(PROBES, self._settings.http_host, self._settings.http_port))
        _log.info("probes and metrics", port=self.http_port)

    async def _open_admin(self, stack: AsyncExitStack, certificate: Certificate) -> None:
        settings = self._settings
        place = Place(REPORTS, settings.http_host, settings.admin_port, certificate.context)
        self.admin_port = await open_port(stack, api(lambda: report(settings.pod, self._sources())), place)
        _log.info("reports to the operator", port=self.admin_port)

    def _front(self, listener: Listener) -> Front:
        return Front(
            listener=listener.name,
            intake=self._intake,
            authentication=self._authentication,
            observer=self._observer,
            tls=lambda: self._certificate.context,
            sessions=self._doors.sockets.sessions,
            timeouts=self._settings.timeouts,
            admission=self._doors.sockets.admission,
            certified=self._certified,
            terms=partial(self._access.terms, listener.port),
        )

    def _probe(self, config: Config) -> Probe:
        world = self._surroundings
        settings = delivery.Settings(config.hostname, world.trust, world.timeouts, tokens=world.tokens)
        return Probe(world.resolver.only(config.ip_families), settings, reachability=world.reachability)

    def _sources(self) -> Sources:
        dispatch = self._dispatch
        told = (dispatch.on_time, dispatch.paces, self._upstreams, self._observer, self._certificate)
        return Sources(self._state, self._spool, *told, lambda: self._shape.found)

    def _state(self) -> State:
        draining = self._drain.wanted or self.life.phase is Phase.DRAINING
        sessions = len(self._doors.sockets.sessions)
        blocked = self._surroundings.reachability.port_25_blocked
        return State(self._config, self._hash, self._problem, self.not_ready(), draining, sessions, blocked)

    def not_ready(self) -> str | None:
        """Tell why mail cannot be taken now; None when it can."""
        if self.life.phase is not Phase.READY:
            return self.life.phase.value
        if self._drain.wanted:
            return Phase.DRAINING.value
        return self._spool.healthy() if self.accepting else "not listening"

    def stop_accepting(self) -> None:
        """Take no new connections any more."""
        self._drain.end()
        self._doors.stop_accepting()

    async def finish_sessions(self, within: float) -> int:
        """Let sessions end within *within* seconds; return how many had to be cut."""
        return await self._doors.finish_sessions(within)

    async def stop_delivery(self, within: float) -> None:
        """Let deliveries in flight end, or release them, within *within* seconds."""
        await self._dispatch.stop(within)

    async def _follow(self, folder: Path) -> None:
        async for _ in mounted.changes(folder, RELOAD_EVERY):
            try:
                config = await asyncio.to_thread(load, folder)
            except RenderedConfigError as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    _log.warning("configuration not loaded", reason=self._problem, in_force="the one before")
                continue
            self._problem = ""
            if config != self._config:
                self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        """Do from now on what *config* says, without dropping a session; which ports are open counts from the next start."""
        listeners_differ = _ports(config) != _ports(self._config)
        self._config, self._hash = config, config_hash(config)
        self._authentication.reconfigure(config.logins)
        self._certified.reconfigure(config.client_certificates)
        self._certificate.admit(config.client_certificates)
        self._access.reconfigure(config.listeners)
        self._spool.reserve(config.reserve)
        self._intake.reconfigure(config)
        self._dispatch.reconfigure(config)
        self._recovering.reconfigure(config)
        self._shape.reconfigure(config)
        self._metrics.expect(labels.names(config))
        self._observer.keep(frozenset(route.name for route in config.routes))
        self._surroundings.tokens.keep(config.grants)
        self._surroundings.trust.keep([Terms.of(smarthost) for route in config.routes for smarthost in route.smarthosts])
        self._upstreams.reconfigure(config, self._probe(config))
        self._drain.reconfigure(config.serving)
        _log.info("configuration loaded", config=self._hash, listeners_wait_for_restart=listeners_differ)


def _ports(config: Config) -> list[tuple[str, int]]:
    """Return what of the listeners is fixed when they are opened; how clients come in is decided anew for each connection."""
    return [(listener.name, listener.port) for listener in config.listeners]
