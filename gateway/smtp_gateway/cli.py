"""`smtp-gateway`: run a gateway, in a pod from a rendered configuration or anywhere from a manifest, and check manifests.

Exit codes: 0 done, 1 what was asked for cannot be done (each reason is one sentence on standard error), 2 the command line is wrong or a
port cannot be bound.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import uvloop

from smtp_gateway import __version__
from smtp_gateway.admin import HttpPortError
from smtp_gateway.app import HTTP_PORT, Gateway, Settings
from smtp_gateway.config.rendered import RenderedConfigError
from smtp_gateway.config.rendered import load as load_rendered
from smtp_gateway.lifecycle import GRACE
from smtp_gateway.listener.server import BindError
from smtp_gateway.listener.tls import CERTIFICATE_FILE, KEY_FILE, CertificateError
from smtp_gateway.spool.api import SpoolUnavailableError
from smtp_gateway.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.config.certificate import Pair
    from smtp_gateway.config.model import Config

FAILED = 1
USAGE = 2
ALTERNATIVE_OFFSET = 1000
"""What is added to a port below 1024 to suggest one that needs no privilege: 587 becomes 1587."""

_log = structlog.get_logger()


class CommandError(Exception):
    """The command cannot be done; the message is the sentence to say."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        """Say *sentence* and exit with *code*."""
        super().__init__(sentence)
        self.code = code


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    options = parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except CommandError as error:
        sys.stderr.write(f"smtp-gateway: {error}\n")
        return error.code


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    top = argparse.ArgumentParser(prog="smtp-gateway", description="Accept mail, keep it safe, relay it.")
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    run_options = commands.add_parser("run", help="run a gateway")
    _add_run_options(run_options)
    run_options.set_defaults(command=run)
    check_options = commands.add_parser("check", help="say what is wrong with a manifest")
    check_options.add_argument("manifest", type=Path, metavar="MANIFEST", help="a YAML file with an SmtpGateway and its Secrets")
    check_options.add_argument("--secrets", type=Path, metavar="DIR", help="one sub-folder per Secret")
    check_options.set_defaults(command=check)
    return top


def _add_run_options(options: argparse.ArgumentParser) -> None:
    what = options.add_mutually_exclusive_group(required=True)
    what.add_argument("manifest", nargs="?", type=Path, metavar="MANIFEST", help="a YAML file with an SmtpGateway and its Secrets")
    what.add_argument("--config", type=Path, metavar="DIR", help="the rendered configuration of a pod, followed for changes")
    options.add_argument("--secrets", type=Path, metavar="DIR", help="Secrets of the manifest: one sub-folder per Secret")
    options.add_argument("--tls", type=Path, metavar="DIR", help="tls.crt and tls.key, followed for changes")
    options.add_argument("--spool", type=Path, default=Path("spool"), metavar="DIR", help="where mail is kept (default: ./spool)")
    options.add_argument("--host", metavar="ADDRESS", help="listen for mail on this address only")
    options.add_argument(
        "--port", type=port_override, action="append", default=[], dest="ports", metavar="NAME=PORT", help="use another port for a listener"
    )
    options.add_argument("--http-host", metavar="ADDRESS", help="serve probes and metrics on this address only")
    options.add_argument("--http-port", type=int, default=HTTP_PORT, metavar="N", help=f"probes and metrics (default: {HTTP_PORT})")
    options.add_argument("--grace", type=float, default=GRACE, metavar="SECONDS", help=f"time to drain at SIGTERM (default: {GRACE:g})")


def port_override(text: str) -> tuple[str, int]:
    """Read `NAME=PORT`; port 0 is one of the system's choice."""
    name, _, number = text.partition("=")
    if not name or not number.isdecimal() or int(number) > 65535:  # noqa: PLR2004 the largest port number
        message = f"{text!r} is not NAME=PORT, as in submission=1587"
        raise argparse.ArgumentTypeError(message)
    return name, int(number)


def check(options: argparse.Namespace) -> int:
    """Validate a manifest."""
    config, _ = _from_manifest(options)
    names = ", ".join(f"{listener.name} on port {listener.port}" for listener in config.listeners)
    sys.stdout.write(f"{options.manifest}: valid; listeners: {names}\n")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run a gateway until it is told to stop."""
    with ExitStack() as stack:
        config, pair = _from_folder(options) if options.config else _from_manifest(options)
        unknown = sorted({name for name, _ in options.ports} - {listener.name for listener in config.listeners})
        if unknown:
            message = f"--port names no listener of this gateway: {', '.join(unknown)}"
            raise CommandError(message, USAGE)
        settings = Settings(
            tls=options.tls or _private_folder(stack, pair or _self_signed(config)),
            spool=options.spool,
            config=options.config,
            host=options.host,
            ports=dict(options.ports),
            http_host=options.http_host,
            http_port=options.http_port,
            grace=options.grace,
        )
        log.configure()
        return _live(Gateway(config, settings))


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
    except HttpPortError as error:
        message = f"{error}; choose another with --http-port"
        raise CommandError(message, USAGE) from error
    except Exception as error:  # noqa: BLE001 the last one who can write it down
        _log.critical("failed", exc_info=error)
        return FAILED
    return 0


def _from_folder(options: argparse.Namespace) -> tuple[Config, None]:
    try:
        return load_rendered(options.config), None
    except RenderedConfigError as error:
        raise CommandError(str(error)) from error


def _from_manifest(options: argparse.Namespace) -> tuple[Config, Pair | None]:
    # Imported here, as in `_self_signed`: a pod runs from a rendered configuration and needs neither YAML nor cryptography.
    from smtp_gateway.config import manifest  # noqa: PLC0415 see above

    try:
        loaded = manifest.load(options.manifest, options.secrets)
    except manifest.ManifestError as error:
        raise CommandError(str(error)) from error
    return loaded.config, loaded.certificate


def _self_signed(config: Config) -> Pair:
    from smtp_gateway.config import certificate  # noqa: PLC0415 see above

    sys.stderr.write(f"smtp-gateway: no certificate is given; using one for {config.hostname} that only vouches for itself\n")
    return certificate.self_signed([config.hostname, "localhost", "127.0.0.1", "::1"], datetime.now(UTC))


def _private_folder(stack: ExitStack, pair: Pair) -> Path:
    """Write *pair* where only this user can read it, until *stack* closes: OpenSSL loads certificates from files alone."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="smtp-gateway-tls-")))
    (folder / CERTIFICATE_FILE).write_bytes(pair.certificate)
    (folder / KEY_FILE).write_bytes(pair.key)
    return folder
