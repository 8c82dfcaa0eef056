"""What is done to messages on their way out: keys that sign them, and who they are from.

Beneath `smtp_gateway.config.model`, which puts it into the configuration.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from smtp_gateway.config import signing_keys
from smtp_gateway.config.habits import Model


class SenderRule(Model):
    """What some senders become."""

    match: tuple[str, ...] = ()
    """Addresses, `*@domain`, or `*@*.domain` for every domain beneath it; empty means every sender."""
    address: str
    """An address, or `*@domain`, which keeps the local part."""


class Rewrite(Model):
    """Who a message is from on its way to the next hops of one route: in the envelope and in the header."""

    senders: Annotated[tuple[SenderRule, ...], Field(min_length=1)]
    """The first that means an address counts; what none means stays."""
    original_header: str | None = None
    """The field that keeps a From that was changed."""
    reply_to: bool = False
    """Whether a From that was changed becomes Reply-To, where there is none."""


def _able_to_sign(key: SecretStr) -> SecretStr:
    """Refuse what is no key of DKIM."""
    signing_keys.read(key.get_secret_value().encode())
    return key


class DkimKey(Model):
    """A key that signs the mail of one domain."""

    domain: Annotated[str, Field(min_length=1, max_length=253)]
    """Its own mail, and that of the domains beneath it for which no nearer one has a key."""
    selector: Annotated[str, Field(min_length=1, max_length=63)]
    private_key: Annotated[SecretStr, AfterValidator(_able_to_sign)]
    """PEM (`smtp_gateway.config.signing_keys`)."""

    @property
    def record_name(self) -> str:
        """Where its public half is published."""
        return signing_keys.record_name(self.domain.lower(), self.selector.lower())
