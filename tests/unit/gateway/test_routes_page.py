"""docs/routes.md names numbers of the code; here they are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtp_gateway.content import received
from smtp_gateway.delivery import reachability, reaching, silence
from smtp_gateway.mail.outcome import LEADS_BACK, Failed
from smtp_gateway.routing import exchangers

PAGE = Path("docs/routes.md").read_text()
SENTENCES = [
    (exchangers.EXCHANGERS, 5, "five exchangers in one attempt at most"),
    (reaching.SILENT_ADDRESSES, 2, "when nobody greets at two of the host's addresses"),
    (reaching.CONNECTIONS, 5, "on the last port up to five addresses are tried"),
    (reachability.AVOIDED, 120, "Two minutes later one message finds out"),
    (silence.DOMAINS, 3, "When those of three domains give no answer at all"),
    (received.HOPS_LIMIT, 100, "refused once it has passed a hundred servers"),
]


@pytest.mark.parametrize(("constant", "number", "sentence"), SENTENCES)
def test_the_page_says_what_is_done(constant: float, number: float, sentence: str) -> None:
    """A changed number changes the sentence."""
    assert constant == number
    assert sentence in PAGE


@pytest.mark.parametrize("outcome", [LEADS_BACK, exchangers._NO_MAIL, exchangers._NO_HOST, exchangers._NO_DOMAIN])  # noqa: SLF001 what senders are told
def test_the_page_has_every_reason_to_return_mail(outcome: Failed) -> None:
    """By its enhanced code."""
    assert f"returned: {outcome.reply.enhanced}" in PAGE
