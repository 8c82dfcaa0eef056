"""`smtp-gateway`: run a gateway, in a pod or from a manifest; check manifests; hash passwords; make keys of DKIM; work on a queue.

Exit codes: 0 done, 1 what was asked for cannot be done (each reason is one sentence on standard error), 2 the command line is wrong or a
port cannot be bound.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from smtp_gateway import __version__, termination
from smtp_gateway.dkim import add_dkim_commands
from smtp_gateway.mailq.grammar import add_queue_commands, add_socket_option
from smtp_gateway.usage import ADMIN_PORT, GRACE, HTTP_PORT, SPOOL, CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    run_options.set_defaults(command=_run)
    check_options = commands.add_parser("check", help="say what is wrong with a manifest")
    check_options.add_argument("manifest", type=Path, metavar="MANIFEST", help="a YAML file with an SmtpGateway and its Secrets")
    check_options.add_argument("--secrets", type=Path, metavar="DIR", help="one sub-folder per Secret")
    check_options.set_defaults(command=_check)
    hash_options = commands.add_parser("hash", help="hash the password on standard input for a Secret of logins, with argon2id")
    hash_options.set_defaults(command=_hash)
    add_dkim_commands(commands.add_parser("dkim", help="make a key that signs mail, or print the DNS record that publishes one"))
    add_queue_commands(commands.add_parser("queue", help="look at the mail that waits in a running gateway, and change what becomes of it"))
    return top


def _add_run_options(options: argparse.ArgumentParser) -> None:
    what = options.add_mutually_exclusive_group(required=True)
    what.add_argument("manifest", nargs="?", type=Path, metavar="MANIFEST", help="a YAML file with an SmtpGateway and its Secrets")
    what.add_argument("--config", type=Path, metavar="DIR", help="the rendered configuration of a pod, followed for changes")
    options.add_argument("--secrets", type=Path, metavar="DIR", help="Secrets of the manifest: one sub-folder per Secret")
    options.add_argument("--tls", type=Path, metavar="DIR", help="tls.crt and tls.key, followed for changes")
    options.add_argument("--spool", type=Path, default=SPOOL, metavar="DIR", help=f"where mail is kept (default: ./{SPOOL})")
    options.add_argument("--host", metavar="ADDRESS", help="listen for mail on this address only")
    options.add_argument(
        "--port", type=port_override, action="append", default=[], dest="ports", metavar="NAME=PORT", help="use another port for a listener"
    )
    options.add_argument("--http-host", metavar="ADDRESS", help="serve probes, metrics and reports on this address only")
    options.add_argument("--http-port", type=int, default=HTTP_PORT, metavar="N", help=f"probes and metrics (default: {HTTP_PORT})")
    options.add_argument(
        "--admin-tls", type=Path, metavar="DIR", help="report to clients of ca.crt with tls.crt and tls.key, followed for changes"
    )
    options.add_argument("--admin-port", type=int, default=ADMIN_PORT, metavar="N", help=f"reports (default: {ADMIN_PORT})")
    options.add_argument("--pod-name", default="", metavar="NAME", help="what the reports are about; its ordinal says when it drains")
    options.add_argument("--grace", type=float, default=GRACE, metavar="SECONDS", help=f"time to drain at SIGTERM (default: {GRACE:g})")
    add_socket_option(options)


def port_override(text: str) -> tuple[str, int]:
    """Read `NAME=PORT`; port 0 is one of the system's choice."""
    name, _, number = text.partition("=")
    if not name or not number.isdecimal() or int(number) > 65535:  # noqa: PLR2004 the largest port number
        message = f"{text!r} is not NAME=PORT, as in submission=1587"
        raise argparse.ArgumentTypeError(message)
    return name, int(number)


# Imported where they are used, as are the queue's: a gateway's libraries take most of a second, which a look at the queue need not wait for.
def _run(options: argparse.Namespace) -> int:
    from smtp_gateway import foreground  # noqa: PLC0415 see above

    try:
        return foreground.run(options)
    except CommandError as error:
        termination.leave(str(error))
        raise


def _hash(_: argparse.Namespace) -> int:
    from smtp_gateway.policy import passwords  # noqa: PLC0415 see above

    typed = getpass.getpass() if sys.stdin.isatty() else sys.stdin.read()
    password = typed.removesuffix("\n")
    if not password or "\n" in password:
        message = "one line with the password is needed on standard input"
        raise CommandError(message)
    sys.stdout.write(f"{passwords.hashed(password)}\n")
    return 0


def _check(options: argparse.Namespace) -> int:
    from smtp_gateway import foreground  # noqa: PLC0415 see above

    return foreground.check(options)
