"""The bench's own source and sink, which Go builds here as the bench does."""

from __future__ import annotations

import smtplib
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench.latency import read
from bench.postal import LoadSink, OpenError, as_login, demand_login, load_source, secured_sink
from bench.rows import Row
from bench.tools import APP

if TYPE_CHECKING:
    from pathlib import Path

    from bench.tools import Tools

ROW = Row("X", "small", 4096, 50, sessions=4)


@pytest.mark.parametrize("reused", [False, True])
def test_every_message_arrives_through_tls_and_auth(tools: Tools, tmp_path: Path, *, reused: bool) -> None:
    """What the source sends is what the sink counts, with a connection each and with connections that stay."""
    with secured_sink(tools, tmp_path / "count") as sink:
        subprocess.run(load_source(tools, replace(ROW, reused=reused), sink.port), check=True, timeout=60)
        sink.wait_for(ROW.messages, within=10)

        assert sink.taken() == ROW.messages


def test_marks_give_the_times_of_each_message(tools: Tools, tmp_path: Path) -> None:
    """A message begins before it arrives, and arrives before a sink that takes its time acknowledges it."""
    certificate, key = tools.certificate
    options = ("-marks", str(tmp_path / "marks"), "-delay", "20ms", "-certificate", str(certificate), "-key", str(key))
    with LoadSink(tools, tmp_path / "count", options) as sink:
        command = as_login(tools, sink.port, APP, "-messages", "3", "-mark", "m")
        sent = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    mails = read(sent, (tmp_path / "marks").read_text())

    assert mails is not None
    assert len(mails) == 3
    assert all(one.begin < one.arrived < one.acknowledged for one in mails)


def test_a_refusal_ends_the_source(tools: Tools, tmp_path: Path) -> None:
    """A load that was not taken must not be measured: here STARTTLS fails, because the sink has no certificate."""
    with LoadSink(tools, tmp_path / "count") as sink:
        done = subprocess.run(load_source(tools, ROW, sink.port), check=False, capture_output=True, timeout=60)

    assert done.returncode == 1
    assert done.stderr.startswith(b"load: ")


def test_a_relay_that_lets_strangers_in_is_found_out(tools: Tools, tmp_path: Path) -> None:
    """The sink takes mail from everybody, which a relay in the row with logins must not."""
    with LoadSink(tools, tmp_path / "count") as sink:
        with smtplib.SMTP("127.0.0.1", sink.port) as client:
            client.sendmail("a@bench.example", ["b@bench.example"], "Subject: x\n\n.\n..\n")
        sink.wait_for(1, within=10)

        with pytest.raises(OpenError):
            demand_login(sink.port)
