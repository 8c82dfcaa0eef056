"""Notices, read by parsers of another language: Go's own for mail, MIME and header fields."""

from __future__ import annotations

import json
import smtplib
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway.content.notice import notice
from tests.clients.tools import Tools
from tests.support.gateway import HOSTNAME, trusting
from tests.support.notices import GOLDEN
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from tests.support.gateway import Process
    from tests.support.sink import Sink

ACTIONS = {
    "failure": ["failed"],
    "delay": ["delayed"],
    "success": ["relayed"],
    "several": ["failed", "delayed", "relayed", "failed"],
    "postmaster": ["failed"],
    "double": ["failed"],
    "whole": ["failed"],
    "international": ["failed"],
}


def read(content: bytes) -> dict[str, Any]:
    """Return what Go finds in a notice."""
    done = subprocess.run([str(Tools().report)], input=content, capture_output=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def unstuffed(wire: bytes) -> bytes:
    """Return what a next hop makes of a body in wire form."""
    return b"\r\n".join(line.removeprefix(b".") for line in wire.removesuffix(b".\r\n").split(b"\r\n"))


@pytest.mark.parametrize("name", GOLDEN)
def test_go_reads_every_kind_of_notice(name: str) -> None:
    """Three parts, whose fields and addresses are those of the report; UTF-8 comes back as it was."""
    report = GOLDEN[name]
    found = read(unstuffed(notice(report)))

    assert (found["From"], found["To"], found["Report"]) == ("MAILER-DAEMON@gateway.example", report.to, "delivery-status")
    assert [fields["Action"] for fields in found["Recipients"]] == ACTIONS[name]
    assert found["Message"]["Reporting-Mta"] == "dns; gateway.example"
    assert all(f"<{address}>" in found["Text"] for address in report.outcomes)
    assert found["Returned"]["Subject"] == ("Grüße" if name == "international" else "Invoice 4711")
    assert found["Content"] == ("Secret content\r\n." if name == "whole" else "")


def test_go_reads_what_a_gateway_sends(gateway: Process, sink: Sink) -> None:
    """A refused recipient, over real sessions: what the client asked and what the next hop said come back."""
    sink.answer("RCPT", "550 5.1.1 No such user", matching="nobody@", times=1)
    with smtplib.SMTP("localhost", gateway.ports["submission"], timeout=30) as client:
        client.starttls(context=trusting())
        client.login("app", "secret")
        options = ("RET=FULL", "ENVID=QQ1"), ("NOTIFY=FAILURE", "ORCPT=rfc822;old+2Bname@there.example")
        client.sendmail("me@here.example", "nobody@there.example", "Subject: Hi\r\n\r\nHow are you?\r\n", *options)
    eventually_sync(lambda: sink.taken, 30, "the notice arrives")
    (taken,) = sink.taken
    found = read(taken.content)

    assert (taken.sender, taken.recipients) == ("", ("me@here.example",))
    assert found["From"] == f"MAILER-DAEMON@{HOSTNAME}"
    assert found["Message"]["Original-Envelope-Id"] == "QQ1"
    (fields,) = found["Recipients"]
    assert fields["Original-Recipient"] == "rfc822; old+name@there.example"
    assert fields["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user"
    assert (found["Type"], found["Content"]) == ("message/rfc822", "How are you?")
