from __future__ import annotations

from pathlib import Path

import pytest

from smtp_gateway import authentication
from smtp_gateway.config import hashes
from smtp_gateway.mail import reply
from smtp_gateway.policy import passwords, senders

PAGE = Path("docs/logins.md").read_text()
REPLIES = (
    reply.AUTHENTICATION_FAILED,
    authentication.BANNED,
    authentication.OVERLOADED,
    authentication.TOO_MANY_FAILURES,
    senders.SENDER_NOT_ALLOWED,
    senders.AUTHOR_NOT_ALLOWED,
    senders.AUTHOR_UNCLEAR,
)


@pytest.mark.parametrize("refusal", REPLIES, ids=str)
def test_the_page_has_every_refusal(refusal: reply.Reply) -> None:
    """Code and text are stable, because people search for them."""
    assert f"`{refusal}`" in PAGE


def test_the_page_has_the_bounds() -> None:
    """Of hashes, and of what a client may do wrong."""
    assert f"`m` up to {hashes.ARGON2_MEMORY} (64 MiB), `t` up to {hashes.ARGON2_PASSES}, `p` up to {hashes.ARGON2_LANES}" in PAGE
    assert f"a cost of 4 to {hashes.BCRYPT_COST}; passwords of at most {passwords.BCRYPT_LIMIT} octets" in PAGE
    assert f"more than {authentication.WAITING} comparisons wait" in PAGE
