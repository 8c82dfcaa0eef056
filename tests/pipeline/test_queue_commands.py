"""`smtp-gateway queue` beside a real gateway whose next hop is away, hangs, or comes back."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from smtp_gateway.config.pace import Retry
from tests.support.gateway import Process, config, login, process
from tests.support.mailq import Commands, send, session
from tests.support.waiting import eventually, eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sink import Sink

LOGINS = (login(), login("shop", "secret", "shop-logins"))
AT_FIRST = 5
"""Attempts at a time towards a destination that nothing is known of (`routing.circuit.AT_FIRST`)."""


@contextmanager
def nobody() -> Iterator[int]:
    """Give a port at which connections are refused for as long as the context lasts."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def queue(tmp_path: Path) -> Commands:
    """The commands, in the folder of the test's gateway."""
    return Commands(tmp_path)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Process]:
    """A gateway whose next hop is away."""
    with nobody() as port, process(tmp_path, config(port, logins=LOGINS)) as started:
        yield started


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Process]:
    """A gateway whose next hop takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent, process(tmp_path, config(silent.getsockname()[1])) as started:
        yield started


def three(gateway: Process) -> list[str]:
    """Return three messages that *gateway* tried once: two of one login, one of another."""
    with session(gateway) as smtp:
        ids = [
            send(smtp, ["a@x.example"], "news@here.example"),
            send(smtp, ["a@x.example", "b@y.example"], "Info@Here.example"),
        ]
    with session(gateway, "shop") as smtp:
        ids.append(send(smtp, ["c@y.example"], ""))
    gateway.wait_for("deferred", times=3)
    return ids


@pytest.fixture
def deferred(gateway: Process) -> list[str]:
    """Three messages that wait."""
    return three(gateway)


@dataclass(frozen=True, slots=True)
class Standing:
    """A queue that nobody changes."""

    queue: Commands
    deferred: list[str]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Three messages that wait, for all tests that only look at them: for an hour, however long those take."""
    folder = tmp_path_factory.mktemp("standing")
    with nobody() as port:
        usual = config(port, logins=LOGINS)
        patient = usual.routes[0].model_copy(update={"retry": Retry(initial=3600.0)})
        with process(folder, usual.model_copy(update={"routes": (patient,)})) as started:
            yield Standing(Commands(folder), three(started))


def test_the_queue_is_listed_in_columns(standing: Standing) -> None:
    """A heading and a line a message in the order of arrival: age, size, attempts, next attempt, sender, recipients, and why."""
    heading, *rows = standing.queue.done("list").splitlines()

    assert heading.split() == ["ID", "AGE", "SIZE", "ATTEMPTS", "NEXT", "SENDER", "RECIPIENTS", "REASON"]
    assert [row.split()[0] for row in rows] == standing.deferred
    assert [row[heading.index("SENDER") :].split("  ")[0] for row in rows] == ["news@here.example", "Info@Here.example", "<>"]
    assert [row[heading.index("RECIPIENTS") : heading.index("REASON")].strip() for row in rows] == [
        "a@x.example",
        "a@x.example (+1)",
        "c@y.example",
    ]
    assert all("4.4.1" in row[heading.index("REASON") :] for row in rows)
    assert all(row[heading.index("ATTEMPTS")] == "1" for row in rows)
    wide = standing.queue.done("list", "-o", "wide").splitlines()
    assert wide[0].split()[5] == "IDENTITY"
    assert "a@x.example,b@y.example" in wide[2]


FILTERS: tuple[tuple[tuple[str, ...], list[int]], ...] = (
    (("--sender", "news@here.example"), [0]),
    (("--sender", "<>"), [2]),
    (("--recipient", "a@x.example"), [0, 1]),
    (("--domain", "y.example"), [1, 2]),
    (("--identity", "shop-logins"), [2]),
    (("--older-than", "1h"), []),
    (("--older-than", "0s", "--domain", "x.example", "--identity", "app-logins"), [0, 1]),
    (("--reply", "4.4.1"), [0, 1, 2]),
    (("--reply", "no such text"), []),
    (("--held",), []),
    (("--limit", "2"), [0, 1]),
)
"""What is asked for, and which of the three messages are found."""


def test_filters_choose(standing: Standing) -> None:
    """Each filter alone, and some together: only what all of them apply to."""
    assert [standing.queue.ids(*words) for words, _ in FILTERS] == [[standing.deferred[number] for number in found] for _, found in FILTERS]


def test_named_messages_are_listed(standing: Standing) -> None:
    """In the order of arrival; one that is not there is told of, and the others are shown."""
    assert standing.queue.ids(standing.deferred[2], standing.deferred[0]) == [standing.deferred[0], standing.deferred[2]]
    said = standing.queue("list", standing.deferred[1], "NOSUCH")
    assert (said.returncode, said.stderr) == (1, "smtp-gateway: NOSUCH is not in the queue\n")
    assert standing.deferred[1] in said.stdout


def test_json_has_what_a_script_needs(standing: Standing) -> None:
    """One object a line; every field is known, and tells of this message."""
    message = standing.queue.listed()[1]

    assert (message.id, message.state, message.sender, message.identity) == (
        standing.deferred[1],
        "deferred",
        "Info@Here.example",
        "app-logins",
    )
    assert [(one.address, one.attempts) for one in message.recipients] == [("a@x.example", 1), ("b@y.example", 1)]
    assert message.acceptedAt < message.nextAttempt
    assert message.attempts == 1


@pytest.mark.usefixtures("gateway")
def test_an_empty_queue_says_so(queue: Commands) -> None:
    """On standard error, so that a script reads nothing; that is no failure."""
    said = queue("list")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "The queue is empty.\n")


def test_nothing_found_is_not_an_empty_queue(standing: Standing) -> None:
    """The sentence says how many there are."""
    assert standing.queue("list", "--held").stderr == f"No message matches; {len(standing.deferred)} in the queue.\n"


def test_a_message_tells_what_its_client_asked(gateway: Process, queue: Commands) -> None:
    """So that a failure which was not returned can be explained (RFC 3461)."""
    with session(gateway) as smtp:
        assert {"dsn", "chunking", "limits"} <= smtp.esmtp_features.keys()
        smtp.mail("me@here.example", ["RET=HDRS", "ENVID=Qq1", "REQUIRETLS"])
        smtp.rcpt("a@x.example", ["NOTIFY=NEVER"])
        smtp.rcpt("b@x.example")
        name = smtp.data(b"x")[1].decode().rpartition(" ")[2]

    assert queue.story(name).asked == ["REQUIRETLS", "RET=HDRS ENVID=Qq1", "<a@x.example> NOTIFY=NEVER"]
    assert "Asked:     REQUIRETLS; RET=HDRS ENVID=Qq1; <a@x.example> NOTIFY=NEVER" in queue.done("show", name)


def test_a_message_tells_its_whole_history(gateway: Process, queue: Commands, deferred: list[str]) -> None:
    """Envelope, recipients with their replies, and equal attempts in one row: how often, the first, the last, and what was said."""
    for attempts in (4, 5):
        queue.done("retry", deferred[1])
        gateway.wait_for("deferred", attempts)
    story = queue.story(deferred[1])

    assert [(one.event, one.times, sorted(one.recipients)) for one in story.history] == [("deferred", 3, ["a@x.example", "b@y.example"])]
    assert "4.4.1" in story.history[0].reply
    assert story.acceptedAt <= story.history[0].first <= story.history[0].last
    assert [one.attempts for one in story.recipients] == [3, 3]
    text = queue.done("show", deferred[1], deferred[2])
    for part in (deferred[1], "Info@Here.example", "a@x.example", "b@y.example", "4.4.1", "FIRST", deferred[2]):
        assert part in text
    assert queue("show", "NOSUCH").stderr == "smtp-gateway: NOSUCH is not in the queue\n"


async def test_held_mail_waits_until_it_is_released(tmp_path: Path, queue: Commands, sink: Sink) -> None:
    """A flush delivers everything but it; a retry of it is refused; released, it goes."""
    await sink.stop()
    with process(tmp_path, config(sink.port)) as gateway, session(gateway) as smtp:
        kept, other = send(smtp, ["kept@x.example"]), send(smtp, ["other@x.example"])
        await asyncio.to_thread(gateway.wait_for, "deferred", 2)
        assert await asyncio.to_thread(queue.done, "hold", kept) == f"{kept} held\n"
        assert await asyncio.to_thread(queue.ids, "--held") == [kept]
        await sink.start()

        flushed = await asyncio.to_thread(queue, "flush")
        assert (flushed.returncode, flushed.stderr) == (0, "1 message due now\n")
        await eventually(lambda: len(sink.taken) == 1)
        refused = await asyncio.to_thread(queue, "retry", kept)
        assert (refused.returncode, refused.stderr) == (1, f"smtp-gateway: {kept} is held: release it first\n0 messages due now\n")
        assert [message.state for message in await asyncio.to_thread(queue.listed)] == ["held"]

        assert await asyncio.to_thread(queue.done, "release", "--all") == f"{kept} released\n"
        await asyncio.to_thread(queue.done, "retry", kept)
        await eventually(lambda: len(sink.taken) == 2)

    assert other != kept
    assert [taken.recipients for taken in sink.taken] == [("other@x.example",), ("kept@x.example",)]


async def test_a_flush_ends_the_rest_of_destinations(tmp_path: Path, queue: Commands, sink: Sink) -> None:
    """A next hop that was given up for a while is tried as soon as somebody says that it is back."""
    await sink.stop()
    with process(tmp_path, config(sink.port)) as gateway, session(gateway) as smtp:
        for number in range(AT_FIRST + 1):
            send(smtp, [f"{number}@x.example"])
        await asyncio.to_thread(gateway.wait_for, "destination rests")
        await asyncio.to_thread(gateway.wait_for, "deferred", AT_FIRST + 1)
        await sink.start()
        await asyncio.to_thread(queue.done, "flush")
        await eventually(lambda: len(sink.taken) == AT_FIRST + 1)


async def test_a_retry_of_one_message_ends_its_destination_s_rest(tmp_path: Path, queue: Commands, sink: Sink) -> None:
    """Otherwise it would be deferred again without a connection."""
    await sink.stop()
    with process(tmp_path, config(sink.port)) as gateway, session(gateway) as smtp:
        ids = [send(smtp, [f"{number}@x.example"]) for number in range(AT_FIRST)]
        await asyncio.to_thread(gateway.wait_for, "destination rests")
        await asyncio.to_thread(gateway.wait_for, "deferred", AT_FIRST)
        await sink.start()
        await asyncio.to_thread(queue.done, "retry", ids[0])
        await eventually(lambda: len(sink.taken) == 1)

    assert sink.taken[0].recipients == ("0@x.example",)


def test_what_is_being_delivered_is_left_alone(hanging: Process, queue: Commands) -> None:
    """It is reported, and what merely waits behind it is reached: by hold as by remove."""
    with session(hanging) as smtp:
        ids = [send(smtp) for _ in range(AT_FIRST + 3)]
    eventually_sync(lambda: [message.state for message in queue.listed()].count("delivering") == AT_FIRST, what="attempts")
    under_way = queue.listed()[0].id
    assert under_way == ids[0]

    refused = queue("remove", "--yes", under_way, ids[-1])
    assert (refused.returncode, refused.stdout) == (1, f"{ids[-1]} removed\n")
    assert f"{under_way} is being delivered: left alone" in refused.stderr
    assert queue.results("hold", under_way, ids[-2]) == {under_way: "delivering", ids[-2]: "done"}
    assert queue.results("retry", under_way, ids[-3]) == {under_way: "delivering", ids[-3]: "done"}
    assert queue("retry", under_way).returncode == 0
    assert [message.state for message in queue.listed()] == ["delivering"] * AT_FIRST + ["due", "held"]


def test_a_removal_is_logged_and_counted(gateway: Process, queue: Commands, deferred: list[str]) -> None:
    """A log line a message with its id, a metric, and the message is gone; the others stay."""
    said = queue("remove", "--yes", "--domain", "x.example")
    assert (said.returncode, said.stdout) == (0, f"{deferred[0]} removed\n{deferred[1]} removed\n")
    assert said.stderr == "2 messages removed\n"
    lines = gateway.events("removed")
    assert [(line["message_id"], line["sender"], line["to"]) for line in lines] == [
        (deferred[0], "news@here.example", ["a@x.example"]),
        (deferred[1], "Info@Here.example", ["a@x.example", "b@y.example"]),
    ]
    assert "\nsmtp_gateway_removed_messages_total 2.0\n" in gateway.get("/metrics")[1]
    assert queue.ids() == [deferred[2]]
    assert queue.results("remove", "--yes", deferred[0]) == {deferred[0]: "absent"}
