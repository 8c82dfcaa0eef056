"""`python -m tests.clients.table`: write docs/clients.md from what the tests of clients are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.clients.dialogues import DIALOGUES
from tests.clients.matrix import CLIENTS, REFUSALS

if TYPE_CHECKING:
    from tests.clients.matrix import Client, Refusal

HEAD = """\
# Clients

What is shown here ran: the tier `clients` (`python -m tests.tiers clients`) sends with each of these programs through a running gateway to a next hop that records.
This page is written from what those tests are made of (`make docs`).

## Programs

Each sends by STARTTLS and AUTH a plain message, one with an attachment, and one of 20 MB; each arrives octet for octet, but for trace headers and the end of its last line.
Versions are those of Debian 12, or pinned by the project.

"""
REFUSED = """
## What they say when mail is refused

Each is made to fail in these ways, and the words that it gives to its user or its log contain the reply, code and enhanced code.

"""
REPLAYED = """
## Mail programs that were not run

Outlook, Apple Mail and Thunderbird do not run where the tests do.
What is known of how they talk is replayed to a gateway, line by line; nothing more is claimed.

"""


def page() -> str:
    """Return the page."""
    return HEAD + _programs() + REFUSED + _refused() + REPLAYED + _replayed()


def _rows(*rows: tuple[str, ...]) -> str:
    head, *rest = rows
    lines = [head, tuple("---" for _ in head), *rest]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(shown: bool) -> str:  # noqa: FBT001 a cell of the table
    return "yes" if shown else "not shown"


def _programs() -> str:
    head = ("client", "version", "from", "STARTTLS and AUTH: plain, attachment, 20 MB", "UTF-8 addresses", "implicit TLS")
    return _rows(head, *((one.name, _version(one), one.origin, "yes", _shown(one.utf8), _shown(one.implicit)) for one in CLIENTS))


def _version(client: Client) -> str:
    return client.version or "any"


def _refused() -> str:
    head = ("client", *(f"{one.name}: `{one.reply}`" for one in REFUSALS))
    return _rows(head, *((client.name, *(_words(client, one) for one in REFUSALS)) for client in CLIENTS))


def _words(client: Client, refusal: Refusal) -> str:
    _, why = client.own_words.get(refusal.name, ("", "yes"))
    return why


def _replayed() -> str:
    head = ("program", "what is peculiar", "source")
    return _rows(head, *((one.program, one.peculiar, one.source) for one in DIALOGUES))


if __name__ == "__main__":
    print(page(), end="")
