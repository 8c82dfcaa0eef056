"""What is told of an attempt."""

from __future__ import annotations

from dataclasses import replace

from smtp_gateway.accounting import again
from smtp_gateway.config.model import Route
from smtp_gateway.routing.table import Table
from smtp_gateway.spool.api import Recipient
from tests.support.messages import new_message


def test_an_attempt_is_a_retry_when_one_of_its_own_recipients_was_tried_before() -> None:
    """Recipients of another route, and of attempts that were broken off, say nothing about it."""
    entry = replace(new_message().as_entry(), recipients=(Recipient("a@x.example", attempts=1), Recipient("b@y.example")))
    table = Table((Route(name="x", recipient_domains=("x.example",)), Route(name="default")))
    tried, untried = table.batches((one.address for one in entry.recipients), entry)

    assert again(entry, tried)
    assert not again(entry, untried)
