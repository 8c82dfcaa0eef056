"""The command line of `smtp-gateway queue`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from smtp_gateway.config import units
from smtp_gateway.mailq import commands
from smtp_gateway.mailq.place import NAME, VARIABLE
from smtp_gateway.usage import SPOOL

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 the type has no public name

CHANGES = {
    "retry": "make messages due now, and try their destinations even if they rest",
    "hold": "keep messages from being delivered until they are released",
    "release": "let held messages be delivered again",
}


def add_queue_commands(options: argparse.ArgumentParser) -> None:
    """Give *options* the commands on the queue."""
    names = options.add_subparsers(required=True, metavar="COMMAND")
    listing = _command(names, "list", "show what waits, in the order of arrival", commands.show_list)
    _add_filters(listing)
    _add_output(listing, "wide", "json")
    listing.add_argument("--limit", type=positive, metavar="N", help="show at most N messages")
    showing = _command(
        names, "show", "tell everything about messages: envelope, recipients, and all attempts with their replies", commands.show
    )
    showing.add_argument("ids", nargs="+", metavar="ID", help="the id that the client was told, and that every log line about it has")
    _add_output(showing, "json")
    for name, purpose in CHANGES.items():
        _add_choice(_command(names, name, purpose, commands.change))
    removing = _command(names, "remove", "take messages out of the queue for good: nobody is told", commands.change)
    _add_choice(removing)
    _add_consent(removing)
    _add_export(names)
    flushing = _command(names, "flush", "make everything but held messages due now, and try destinations that rest", commands.flush)
    flushing.set_defaults(sender=None, recipient=None, domain=None, identity=None, older_than=None, held=False, reply=None, ids=[])


def add_socket_option(options: argparse.ArgumentParser) -> None:
    """Give *options* the place of the socket."""
    options.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help=f"the socket of queue commands (default: ${VARIABLE}, or {NAME} in the spool's folder)",
    )


def positive(text: str) -> int:
    """Read a number above 0."""
    if not text.isdecimal() or not int(text):
        message = f"{text!r} is not a number above 0"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def duration(text: str) -> float:
    """Read a duration, in seconds."""
    try:
        return units.seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _command(names: Commands, name: str, purpose: str, command: commands.Command) -> argparse.ArgumentParser:
    options: argparse.ArgumentParser = names.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
    options.set_defaults(command=commands.attended(command), action=name)
    options.add_argument("--spool", type=Path, default=SPOOL, metavar="DIR", help=f"where the gateway keeps mail (default: ./{SPOOL})")
    add_socket_option(options)
    return options


def _add_choice(options: argparse.ArgumentParser) -> None:
    _add_filters(options)
    options.add_argument("--all", action="store_true", help="all messages")
    _add_output(options, "json")


def _add_filters(options: argparse.ArgumentParser) -> None:
    options.add_argument("ids", nargs="*", metavar="ID", help="these messages")
    chosen = options.add_argument_group("filters", "Only messages to which all of them apply.")
    chosen.add_argument("--sender", metavar="ADDRESS", help="from this address; <> is the sender of bounces")
    chosen.add_argument("--recipient", metavar="ADDRESS", help="for this address")
    chosen.add_argument("--domain", metavar="DOMAIN", help="for an address in this domain")
    chosen.add_argument("--identity", metavar="NAME", help="sent with a login of this Secret, or through listener/NAME without one")
    chosen.add_argument("--older-than", type=duration, metavar="DURATION", help="accepted longer ago, as in 90s, 2h or 1d12h")
    chosen.add_argument("--held", action="store_true", help="held")
    chosen.add_argument("--reply", metavar="TEXT", help="with this text in a last reply")


def _add_output(options: argparse.ArgumentParser, *forms: str) -> None:
    options.add_argument("-o", "--output", choices=forms, metavar="|".join(forms), help="json is one object a line, as from postqueue -j")


def _add_consent(options: argparse.ArgumentParser) -> None:
    options.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _add_export(names: Commands) -> None:
    purpose = "write the content of messages into files, or of one to standard output; they stay in the queue"
    options = _command(names, "export", purpose, commands.export)
    _add_filters(options)
    options.add_argument("--all", action="store_true", help="all messages")
    options.add_argument(
        "--to", type=Path, metavar="DIR", help="a folder for ID.eml of each message (default: one message to standard output)"
    )
    _add_consent(options)
