"""`smtp-gateway dkim`: a key that signs mail, and the DNS record that publishes its public half.

A key goes through standard output and input alone, so that it is in no command line and in no file that nobody asked for.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from smtp_gateway.mail.address import normalise_domain
from smtp_gateway.usage import CommandError

if TYPE_CHECKING:
    import argparse


def add_dkim_commands(options: argparse.ArgumentParser) -> None:
    """Give *options* the commands on keys."""
    names = options.add_subparsers(required=True, metavar="COMMAND")
    making = names.add_parser("key", help="print a new private key, for a Secret, in PEM")
    making.add_argument("--kind", choices=("rsa", "ed25519"), default="rsa", help="rsa of 2048 bits (default), or ed25519")
    making.set_defaults(command=key)
    telling = names.add_parser("record", help="print the DNS record of the private key on standard input, as a line of a zone file")
    telling.add_argument("domain", metavar="DOMAIN", help="the domain whose mail it signs, such as example.com")
    telling.add_argument("selector", metavar="SELECTOR", help="the key's name in that domain, such as 2027a")
    telling.set_defaults(command=record)


# Imported where it is used, because every command of `smtp-gateway` reads this grammar, and few need cryptography.
def key(options: argparse.Namespace) -> int:
    """Print a new key."""
    from smtp_gateway.config import signing_keys  # noqa: PLC0415 see above

    sys.stdout.write(signing_keys.new(options.kind).decode("ascii"))
    return 0


def record(options: argparse.Namespace) -> int:
    """Print the record. Raises `CommandError` when there is no key on standard input that could sign."""
    from smtp_gateway.config import signing_keys  # noqa: PLC0415 see above

    try:
        private = signing_keys.read(sys.stdin.buffer.read())
    except signing_keys.SigningKeyError as error:
        message = f"what is on standard input {error}"
        raise CommandError(message) from error
    if signing_keys.weak(private):
        sys.stderr.write(f"smtp-gateway: an RSA key should have {signing_keys.GOOD_RSA} bits or more (RFC 8301); this one has fewer\n")
    sys.stdout.write(f"{signing_keys.zone_line(normalise_domain(options.domain), options.selector.lower(), private)}\n")
    return 0
