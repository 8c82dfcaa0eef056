"""The commands `run` and `check`: a gateway in the foreground, and what is wrong with a manifest."""

from __future__ import annotations

import resource
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import uvloop

from smtp_gateway.admin.port import PROBES, REPORTS, PortError
from smtp_gateway.app import Gateway, Settings
from smtp_gateway.config import certificate
from smtp_gateway.config.rendered import RenderedConfigError
from smtp_gateway.config.rendered import load as load_rendered
from smtp_gateway.listener.server import BindError
from smtp_gateway.mailq.place import SocketTakenError, place
from smtp_gateway.spool.api import SpoolUnavailableError
from smtp_gateway.telemetry import log
from smtp_gateway.tls import ADDITIONAL_CERTIFICATE_FILE, ADDITIONAL_KEY_FILE, CERTIFICATE_FILE, KEY_FILE, CertificateError
from smtp_gateway.usage import FAILED, USAGE, CommandError

if TYPE_CHECKING:
    import argparse

    from smtp_gateway.config.certificate import Pair
    from smtp_gateway.config.model import Config

OTHER_FILES = 512
"""Files that are open beside the clients' connections: the spool's, large bodies, and the connections of deliveries and probes."""
ALTERNATIVE_OFFSET = 1000
"""What is added to a port below 1024 to suggest one that needs no privilege: 587 becomes 1587."""
_PORT_OPTIONS = {PROBES: "--http-port", REPORTS: "--admin-port"}

_log = structlog.get_logger()


def check(options: argparse.Namespace) -> int:
    """Validate a manifest."""
    config, *_ = _from_manifest(options)
    names = ", ".join(f"{listener.name} on port {listener.port}" for listener in config.listeners)
    sys.stdout.write(f"{options.manifest}: valid; listeners: {names}\n")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run a gateway until it is told to stop."""
    with ExitStack() as stack:
        config, pair, additional = _from_folder(options) if options.config else _from_manifest(options)
        unknown = sorted({name for name, _ in options.ports} - {listener.name for listener in config.listeners})
        if unknown:
            message = f"--port names no listener of this gateway: {', '.join(unknown)}"
            raise CommandError(message, USAGE)
        settings = Settings(
            tls=options.tls or _private_folder(stack, pair or _self_signed(config), additional),
            spool=options.spool,
            config=options.config,
            host=options.host,
            ports=dict(options.ports),
            http_host=options.http_host,
            http_port=options.http_port,
            admin_tls=options.admin_tls,
            admin_port=options.admin_port,
            pod=options.pod_name,
            grace=options.grace,
            socket=place(options.socket, options.spool),
        )
        log.configure()
        open_files(config.limits.connections)
        return _live(Gateway(config, settings))


def open_files(connections: int) -> None:
    """Let this process open as many files as it may: where containers begin with 1024, a full house of *connections* would not fit.

    A connection for which there is no descriptor is dropped by the event loop without a word, so a limit that is too low is told.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < connections + OTHER_FILES:
        _log.warning("too few open files allowed", allowed=hard, needed=connections + OTHER_FILES)


def _live(gateway: Gateway) -> int:
    async def life() -> None:
        gateway.life.follow_signals()
        await gateway.run()

    try:
        uvloop.run(life())
    except BindError as error:
        free = error.port + ALTERNATIVE_OFFSET
        message = f"{error}; choose another with --port {error.listener}={free}"
        raise CommandError(message, USAGE) from error
    except (SpoolUnavailableError, CertificateError) as error:
        raise CommandError(str(error)) from error
    except SocketTakenError as error:
        message = f"{error}; choose another with --socket"
        raise CommandError(message, USAGE) from error
    except PortError as error:
        message = f"{error}; choose another with {_PORT_OPTIONS[error.place.purpose]}"
        raise CommandError(message, USAGE) from error
    except Exception as error:  # noqa: BLE001 the last one who can write it down
        _log.critical("failed", exc_info=error)
        return FAILED
    return 0


def _from_folder(options: argparse.Namespace) -> tuple[Config, None, None]:
    try:
        return load_rendered(options.config), None, None
    except RenderedConfigError as error:
        raise CommandError(str(error)) from error


def _from_manifest(options: argparse.Namespace) -> tuple[Config, Pair | None, Pair | None]:
    # Imported here: a pod runs from a rendered configuration and needs no YAML.
    from smtp_gateway.config import manifest  # noqa: PLC0415 see above

    try:
        loaded = manifest.load(options.manifest, options.secrets)
    except manifest.ManifestError as error:
        raise CommandError(str(error)) from error
    return loaded.config, loaded.certificate, loaded.additional


def _self_signed(config: Config) -> Pair:
    sys.stderr.write(f"smtp-gateway: no certificate is given; using one for {config.hostname} that only vouches for itself\n")
    return certificate.self_signed([config.hostname, "localhost", "127.0.0.1", "::1"], datetime.now(UTC))


def _private_folder(stack: ExitStack, pair: Pair, additional: Pair | None) -> Path:
    """Write the pairs where only this user can read them, until *stack* closes: OpenSSL loads certificates from files alone."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="smtp-gateway-tls-")))
    (folder / CERTIFICATE_FILE).write_bytes(pair.certificate)
    (folder / KEY_FILE).write_bytes(pair.key)
    if additional is not None:
        (folder / ADDITIONAL_CERTIFICATE_FILE).write_bytes(additional.certificate)
        (folder / ADDITIONAL_KEY_FILE).write_bytes(additional.key)
    return folder
