"""The rows in which mail is only taken, and unmodified aiosmtpd, to which the gateway is compared there."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import smtplib
import socket
from typing import TYPE_CHECKING

import pytest

from bench import __main__, acceptance, postfix
from bench.acceptance import TAKERS, Taker, accept, silent_hop, spooled
from bench.measure import SplitError, warm_up
from bench.postal import demand_login
from bench.relay import Setting
from bench.rows import ROWS, Row
from bench.unmodified import wire_form
from smtp_gateway.mail.envelope import END_OF_DATA
from smtp_gateway.mail.unstuffed import Unstuffing
from smtp_gateway.spool.api import Selection
from smtp_gateway.spool.disk import DiskSpool
from smtp_gateway.telemetry.observer import NullObserver

if TYPE_CHECKING:
    from pathlib import Path

    from bench.tools import Tools
    from smtp_gateway.mail.body import Body

SECURED = Row("X", "small", 4096, 20, sessions=4, secured=True, accept_only=True)
"""Of the source that is built here: Postfix's is fetched by the bench itself only."""


@pytest.mark.parametrize("content", [b"", b"a\r\n", b".\r\n", b"..\r\n", b"a\r\n.\r\n..b\r\n\r\n", b"a.b\r\n"])
def test_wire_form_gives_the_content_back(content: bytes) -> None:
    """What aiosmtpd unstuffed is stuffed again: the spool's own way out of wire form finds the same octets, and one end of data."""
    octets = wire_form(content)
    unstuffing = Unstuffing()

    assert unstuffing.feed(octets) == content
    assert (b"\r\n" + octets).index(b"\r\n" + END_OF_DATA) == len(octets) - len(END_OF_DATA)


def test_unmodified_aiosmtpd_keeps_what_it_acknowledged(tools: Tools, tmp_path: Path) -> None:
    """Killed right after its 250, it has the message with its envelope in the spool. Needs root, as the bench does."""
    running = TAKERS["aiosmtpd"].start(Setting(tmp_path, 9, tools))
    try:
        with smtplib.SMTP("127.0.0.1", running.port) as client:
            client.sendmail("a@bench.example", ["b@bench.example", "c@bench.example"], "Subject: x\n\n.\n..\n")
            running.process.kill()
            running.process.wait(10)
            client.close()
    finally:
        running.stop()

    assert spooled(tmp_path) == 1
    sender, recipients, body = asyncio.run(only_message(tmp_path / "spool"))
    assert (sender, recipients) == ("a@bench.example", ["b@bench.example", "c@bench.example"])
    assert body == b"Subject: x\r\n\r\n..\r\n...\r\n.\r\n"


async def only_message(folder: Path) -> tuple[str, list[str], Body]:
    """Return sender, recipients and body of the one message in the spool in *folder*."""
    spool = await DiskSpool.open(folder, NullObserver())
    try:
        await spool.until_readable()
        [listed] = spool.listing(Selection(), 2)
        return listed.entry.sender, [each.address for each in listed.entry.recipients], await spool.body(listed.entry.id)
    finally:
        await spool.close()


def test_unmodified_aiosmtpd_lets_no_stranger_in_where_logins_are_asked_for(tools: Tools, tmp_path: Path) -> None:
    """In the row with TLS and AUTH all relays demand both, and none knows a wrong password."""
    running = TAKERS["aiosmtpd"].start(Setting(tmp_path, 9, tools, secured=True))
    try:
        demand_login(running.port)
        with smtplib.SMTP("127.0.0.1", running.port) as client:
            client.starttls()
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("app@bench.example", "wrong")
            client.login("app@bench.example", "bench-app")
    finally:
        running.stop()


@pytest.mark.parametrize("name", ["gateway", "aiosmtpd"])
def test_a_relay_is_measured_while_its_next_hop_is_off(tools: Tools, tmp_path: Path, name: str) -> None:
    """What the source had acknowledged is in the queue afterwards, all of it, and nothing of it was delivered."""
    one = accept(tools, SECURED, name, tmp_path)

    assert one.accepted == one.rate > 0
    assert one.delivered == 0
    assert one.cpu > 0
    assert spooled(tmp_path / name) == SECURED.messages + warm_up(SECURED).messages


def test_a_queue_that_lacks_what_was_acknowledged_ends_the_bench(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that answers before it keeps would win every comparison."""
    monkeypatch.setitem(TAKERS, "aiosmtpd", Taker(acceptance.unmodified, lambda folder: spooled(folder) - 1))

    with pytest.raises(SplitError, match="acknowledged 24 messages and keeps 23"):
        accept(tools, SECURED, "aiosmtpd", tmp_path)


def test_the_next_hop_that_is_off_is_connected_to_and_says_nothing() -> None:
    """Attempts wait for its greeting, as for a host that hangs, and end when the measurement does."""
    with silent_hop() as hop, socket.create_connection(hop.getsockname()) as attempt:
        attempt.settimeout(0.05)
        with pytest.raises(TimeoutError):
            attempt.recv(1)
        hop.close()
        attempt.settimeout(10)
        with pytest.raises(ConnectionResetError):
            attempt.recv(1)


def test_postfix_queue_files_are_counted_wherever_they_are(tmp_path: Path) -> None:
    """One a message, in folders by their first letters or not; what is noted down about them is no message."""
    for place in ("incoming/A1", "active/B2", "deferred/C/C3", "defer/C/C3", "pid/master.pid"):
        path = tmp_path / "spool" / place
        path.parent.mkdir(parents=True)
        path.touch()

    assert postfix.queued(tmp_path) == 3


def test_each_relay_runs_in_the_rows_that_it_can_do() -> None:
    """Aiosmtpd delivers nothing, Exim and Haraka are compared where mail is delivered, and a name that nobody has is refused."""
    names = ["gateway", "aiosmtpd", "exim"]
    by_kind = {row.accept_only: __main__.of(row, names) for row in ROWS}

    assert by_kind == {False: ["gateway", "exim"], True: ["gateway", "aiosmtpd"]}
    with pytest.raises(argparse.ArgumentTypeError, match="no relay is called sendmail"):
        __main__.relays("gateway,sendmail")


def test_rows_with_the_next_hop_off_are_like_those_with_it() -> None:
    """Each sends what one of the others sends, more of it, because taking alone is over sooner."""
    others = {(row.octets, row.reused, row.secured): row for row in ROWS if not row.accept_only and row.recipients == 1}

    for row in (row for row in ROWS if row.accept_only):
        other = others[row.octets, row.reused, row.secured]
        assert row.messages > other.messages
        assert dataclasses.replace(row, name="", meaning="", messages=0, accept_only=False) == dataclasses.replace(
            other, name="", meaning="", messages=0
        )
