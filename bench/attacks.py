"""What `bench.torture` does to a gateway: each attack is a function that returns what came of it, bounded in time and in what it holds."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.idle import logged_in
from bench.processes import PATIENCE, memory

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 240.0
"""Seconds that one attack may take; what was not done by then is told."""
GUESSERS = 400
"""Clients that guess at a time: each failure takes its seconds, so fewer would not come to ten thousand within `LONGEST`."""
NORMAL_SESSIONS = 10
"""Sessions of the mail that is to keep its throughput."""
CHUNK = 1 << 20
ENVELOPE = b"MAIL FROM:<a@bench.example>\r\nRCPT TO:<b@bench.example>\r\nDATA\r\n"
MESSAGE = b"Subject: torture\r\n\r\n" + (b"x" * 76 + b"\r\n") * 50 + b".\r\n"
"""Some 4 KB."""


@dataclass(frozen=True, slots=True)
class Victim:
    """A gateway under attack, and by how much."""

    port: int
    pid: int
    scale: float

    def times(self, number: int) -> int:
        """Return *number*, scaled."""
        return max(1, round(number * self.scale))

    @property
    def rss(self) -> int:
        """Return the octets that it holds now."""
        return memory([self.pid]).rss

    def connect(self) -> socket.socket:
        """Return a connection that has read its greeting. Raises `OSError`."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        replies(connection, b"\n")
        return connection


def replies(connection: socket.socket, until: bytes) -> bytes:
    """Read until *until* was said, or the server hung up; return all of it."""
    said = b""
    while until not in said:
        octets = connection.recv(65536)
        if not octets:
            return said
        said += octets
    return said


def idle(victim: Victim) -> str:
    """Hold connections that have read the greeting and say nothing."""
    return _held(victim, victim.connect)


def idle_after_login(victim: Victim) -> str:
    """Hold connections that did STARTTLS and AUTH and say nothing more."""
    return _held(victim, lambda: logged_in(victim.port))


def _held(victim: Victim, opened: Callable[[], socket.socket | smtplib.SMTP]) -> str:
    with ExitStack() as stack:
        # The first one pays for what is made only once.
        stack.enter_context(closing(opened()))
        rest, wanted, held = victim.rss, victim.times(5000), 0
        deadline = time.monotonic() + LONGEST
        while held < wanted and time.monotonic() < deadline:
            stack.enter_context(closing(opened()))
            held += 1
        return f"{held} of {wanted} held, {(victim.rss - rest) / held / 1024:.0f} KiB each (aim < 40)"


def slow_senders(victim: Victim) -> str:
    """Let senders dribble an octet of their body a second, beside normal mail: alone, beside them, and alone again."""
    seconds = max(2.0, 20.0 * victim.scale)
    before = throughput(victim, seconds)
    with ExitStack() as stack:
        senders = [stack.enter_context(closing(_sending(victim))) for _ in range(victim.times(1000))]
        ended = threading.Event()
        dribbling = threading.Thread(target=_dribble, args=(senders, ended))
        dribbling.start()
        try:
            beside = throughput(victim, seconds)
        finally:
            ended.set()
            dribbling.join()
    alone = (before + throughput(victim, seconds)) / 2
    return f"{len(senders)} senders; normal mail {beside:.0f}/s beside them, {alone:.0f}/s alone: {beside / alone:.0%} (aim >= 80 %)"


def _sending(victim: Victim) -> socket.socket:
    connection = victim.connect()
    connection.sendall(b"EHLO slow.bench.example\r\n" + ENVELOPE)
    replies(connection, b"354 ")
    return connection


def _dribble(senders: list[socket.socket], ended: threading.Event) -> None:
    while not ended.wait(1.0):
        for sender in senders:
            with suppress(OSError):
                sender.send(b"x")


def throughput(victim: Victim, seconds: float) -> float:
    """Return how many messages a second are accepted over `NORMAL_SESSIONS` connections, for so many *seconds*."""
    ended = threading.Event()
    with ThreadPoolExecutor(NORMAL_SESSIONS) as pool:
        counts = [pool.submit(_normal, victim, ended) for _ in range(NORMAL_SESSIONS)]
        begin = time.monotonic()
        ended.wait(seconds)
        ended.set()
        return sum(count.result() for count in counts) / (time.monotonic() - begin)


def _normal(victim: Victim, ended: threading.Event) -> int:
    accepted = 0
    with closing(victim.connect()) as connection:
        connection.sendall(b"EHLO normal.bench.example\r\n")
        replies(connection, b"250 ")
        while not ended.is_set():
            connection.sendall(ENVELOPE)
            replies(connection, b"354 ")
            connection.sendall(MESSAGE)
            accepted += b"250 2.0.0" in replies(connection, b"\n")
    return accepted


def long_command(victim: Victim) -> str:
    """Send a command line that does not end for a gigabyte."""
    return _long_line(victim, b"")


def long_line_of_a_body(victim: Victim) -> str:
    """Send a line of a body that does not end for a gigabyte."""
    return _long_line(victim, b"EHLO long.bench.example\r\n" + ENVELOPE)


def _long_line(victim: Victim, before: bytes) -> str:
    """Send *before* and an endless line; tell how much was taken and what was said."""
    octets, sent = victim.times(2**30), 0
    with closing(victim.connect()) as connection:
        connection.sendall(before)
        if before:
            replies(connection, b"354 ")
        piece, deadline = b"x" * CHUNK, time.monotonic() + LONGEST
        try:
            while sent < octets and time.monotonic() < deadline:
                connection.sendall(piece)
                sent += len(piece)
            connection.sendall(b"\r\n.\r\n")
            said = replies(connection, b"\n").decode().strip()
        except OSError as error:
            said = f"{type(error).__name__}"
    return f"{sent / 2**20:.0f} MiB taken, then: {said}"


def many_recipients(victim: Victim) -> str:
    """Send RCPT a million times, without waiting for replies, over as many connections as that takes."""
    wanted, answered, taken, connections = victim.times(1_000_000), 0, 0, 0
    deadline = time.monotonic() + LONGEST
    while answered < wanted and time.monotonic() < deadline:
        connections += 1
        replied, accepted = _recipients(victim, wanted - answered, deadline)
        answered, taken = answered + replied, taken + accepted
    return f"{answered} of {wanted} answered over {connections} connections, {taken} recipients taken"


def _recipients(victim: Victim, number: int, deadline: float) -> tuple[int, int]:
    """Send so many over one connection; return how many were answered and how many taken, when all are or the server hung up."""
    replied = accepted = 0
    with closing(victim.connect()) as connection:
        connection.sendall(b"EHLO many.bench.example\r\nMAIL FROM:<a@bench.example>\r\n")
        replies(connection, b"250 2.1.0")
        writing = threading.Thread(target=_write_recipients, args=(connection, number))
        writing.start()
        with suppress(OSError):
            while replied < number and time.monotonic() < deadline:
                octets = connection.recv(65536)
                if not octets:
                    break
                replied += octets.count(b"\n")
                accepted += octets.count(b"2.1.5")
            connection.shutdown(socket.SHUT_RDWR)
        writing.join()
    return replied, accepted


def _write_recipients(connection: socket.socket, number: int) -> None:
    line = b"RCPT TO:<b@bench.example>\r\n"
    with suppress(OSError):
        for first in range(0, number, 1000):
            connection.sendall(line * min(1000, number - first))


class _Tally:
    """What came of guesses; threads add to it, and a few too many do no harm."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.passwords = self.connections = 0
        self._deadline = time.monotonic() + LONGEST

    @property
    def open(self) -> bool:
        return self.passwords + self.connections < self.wanted and time.monotonic() < self._deadline


def failed_logins(victim: Victim) -> str:
    """Try wrong passwords, over a new connection whenever the server ends one."""
    tally = _Tally(victim.times(10_000))

    def guess(_: int) -> None:
        while tally.open:
            before = tally.passwords
            with suppress(OSError, smtplib.SMTPException):
                _guesses(victim.port, tally)
            tally.connections += tally.passwords == before

    guessers = victim.times(GUESSERS)
    with ThreadPoolExecutor(guessers) as pool:
        list(pool.map(guess, range(guessers)))
    return f"{tally.passwords} passwords refused, {tally.connections} connections that got no further, of {tally.wanted} wanted"


def _guesses(port: int, tally: _Tally) -> None:
    """Try passwords over one connection until it ends."""
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    with closing(smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE)) as client:
        client.starttls(context=stranger)
        client.ehlo()
        while tally.open and client.docmd("AUTH", "PLAIN AGFwcAB3cm9uZw==")[0] == _INVALID:
            tally.passwords += 1


_INVALID = 535
