"""`python -m bench.dkim [--seconds 2]`: what a signature costs, and whether RSA should be computed in the event loop or in a thread.

Signatures in a second of processor time, which is what one core does, with body hash, header section and all that `smtp_gateway.outgoing`
does for a message; and the arithmetic alone. Then what the arithmetic of RSA costs in the event loop, and in a thread beside it: of the
loop's own time, which others wait for, and of the processor's in all. Processor time, because others may be busy on the machine. Nothing
is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvloop
from pydantic import SecretStr

from smtp_gateway.config import signing_keys
from smtp_gateway.config.model import Config, Listener, Route
from smtp_gateway.config.outgoing import DkimKey
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.mail.body import beginning, size_of
from smtp_gateway.mail.envelope import Envelope, MessageId
from smtp_gateway.outgoing import Outgoing
from smtp_gateway.spool.api import Entry, Recipient
from smtp_gateway.spool.bodies import BLOCK, HEADERS, LARGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from smtp_gateway.mail.body import Body

SIZES = {"4 KB": 4_000, "50 KB": 50_000, "1 MB": 1_000_000}
KINDS = {"RSA-2048": "rsa", "Ed25519": "ed25519"}
MESSAGES = 2000
"""Signatures of which the costs are told."""
AT_ONCE = 20
"""Messages under way."""
HEAD = (
    b"Received: from client.example ([192.0.2.1])\r\n\tby mail.example.com with ESMTPSA id 06H1M2VTC5O3ASP2U5QKT8TF;\r\n"
    b"\tThu, 26 Nov 2026 10:00:00 +0000\r\nFrom: App <app@example.com>\r\nTo: You <you@example.net>\r\nSubject: A letter\r\n"
    b"Date: Thu, 26 Nov 2026 10:00:00 +0000\r\nMessage-ID: <06H1M2VTC5O3ASP2U5QKT8TF@mail.example.com>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
)
LINE = b"The quick brown fox jumps over the lazy dog, and then it does so again.\r\n"


@dataclass(frozen=True)
class Signing:
    """One way to sign one size of message."""

    outgoing: Outgoing
    body: Body
    route: Route

    async def sign(self, number: int) -> None:
        """Sign one message."""
        entry = Entry(MessageId(str(number)), "app@example.com", (Recipient("you@example.net"),), 1.0, size_of(self.body), identity="app")
        mail = await self.outgoing.mail(Mail(Envelope(entry.sender, ("you@example.net",)), self.body), entry, self.route)
        if not beginning(mail.body).startswith(b"DKIM-Signature:"):
            message = "the message was not signed"
            raise RuntimeError(message)


def signing(kind: str, size: int) -> Signing:
    """Return what signs messages of *size* octets with a new key of *kind*."""
    route = Route(name="default")
    key = DkimKey(domain="example.com", selector="k1", private_key=SecretStr(signing_keys.new(KINDS[kind]).decode()))
    config = Config(hostname="mail.example.com", listeners=(Listener(name="submission", port=587),), routes=(route,), dkim=(key,))
    octets = HEAD + LINE * (size // len(LINE)) + b".\r\n"
    return Signing(Outgoing(config), octets if size <= LARGE else InBlocks(octets), route)


class InBlocks:
    """A body as the spool keeps large ones."""

    def __init__(self, octets: bytes) -> None:
        """Give *octets*."""
        self._octets = octets

    @property
    def size(self) -> int:
        """Return how many there are."""
        return len(self._octets)

    @property
    def headers(self) -> bytes:
        """Return the beginning."""
        return self._octets[:HEADERS]

    async def blocks(self) -> AsyncIterator[bytes]:
        """Give the blocks."""
        for at in range(0, len(self._octets), BLOCK):
            yield self._octets[at : at + BLOCK]


async def rate(work: Callable[[int], Awaitable[None]], seconds: float) -> float:
    """Return how many calls of *work* end in a second of processor time, with `AT_ONCE` under way."""
    number, begun = 0, time.process_time()
    end = begun + seconds

    async def client() -> None:
        nonlocal number
        while time.process_time() < end:
            number += 1
            await work(number)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return number / (time.process_time() - begun)


async def full(kind: str, size: int, seconds: float) -> float:
    """Return how many messages of *size* octets are signed with a key of *kind* in a second of processor time."""
    return await rate(signing(kind, size).sign, seconds)


async def arithmetic(kind: str, seconds: float) -> float:
    """Return how many signatures a second there would be if there were nothing else to do."""
    key = signing_keys.read(signing_keys.new(KINDS[kind]))

    async def sign(_: int) -> None:
        signing_keys.signature(key, HEAD)

    return await rate(sign, seconds)


async def beside(thread: ThreadPoolExecutor | None) -> tuple[float, float]:
    """Return what one RSA signature takes of the loop's processor time and of the process's, in seconds, if the loop or *thread* makes it."""
    key, loop = signing_keys.read(signing_keys.new("rsa")), asyncio.get_running_loop()
    left = iter(range(MESSAGES))

    async def client() -> None:
        for _ in left:
            if thread is None:
                signing_keys.signature(key, HEAD)
            else:
                await loop.run_in_executor(thread, signing_keys.signature, key, HEAD)

    own, all_threads = time.thread_time(), time.process_time()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return (time.thread_time() - own) / MESSAGES, (time.process_time() - all_threads) / MESSAGES


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    seconds = options.parse_args().seconds
    print(f"| key | {' | '.join(SIZES)} | arithmetic alone |\n|---|{'--:|' * (len(SIZES) + 1)}")
    for kind in KINDS:
        rates = [uvloop.run(full(kind, size, seconds)) for size in SIZES.values()] + [uvloop.run(arithmetic(kind, seconds))]
        print(f"| {kind} | {' | '.join(f'{found:,.0f}' for found in rates)} |")
    print("\n| RSA-2048 is computed | microseconds of the loop | of all threads |\n|---|--:|--:|")
    with ThreadPoolExecutor(1) as thread:
        for name, way in {"in the loop": None, "in a thread": thread}.items():
            own, all_threads = uvloop.run(beside(way))
            print(f"| {name} | {own * 1e6:,.0f} | {all_threads * 1e6:,.0f} |")


if __name__ == "__main__":
    main()
