from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from smtp_gateway import authentication
from smtp_gateway.authentication import ATTEMPTS, BANNED, DELAYS, OVERLOADED, TOO_MANY_FAILURES, Attempt, Authentication, Sources
from smtp_gateway.config.model import Login
from smtp_gateway.mail.envelope import Peer
from smtp_gateway.mail.reply import AUTHENTICATION_FAILED, Reply
from smtp_gateway.policy.auth import Credentials, Identity
from smtp_gateway.policy.bans import ALLOWED, BAN
from tests.support.observing import RecordingObserver
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smtp_gateway.config.hashes import Hashed

HASH = "$2b$04$" + "a" * 53
LOGINS = (
    Login(login="app", password=SecretStr("secret"), identity="app-logins"),
    Login(login="shop", password=SecretStr(HASH), identity="shop"),
)
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
PATIENCE = 10.0


class World:
    """Time that passes when it is told to, and hashes that match the password `right` when the test lets them."""

    def __init__(self, logins: tuple[Login, ...] = LOGINS) -> None:
        """Begin at zero, with hashes that do not wait."""
        self.now = 0.0
        self.takes = 0.0
        """Seconds that comparing with a hash takes by this world's clock."""
        self.pauses: list[float] = []
        self.compared: list[bytes] = []
        self.fault: BaseException | None = None
        """What comparing with a hash ends in instead of an answer."""
        self.open = threading.Event()
        self.open.set()
        self.most = self._busy = 0
        self._lock = threading.Lock()
        self.observer = RecordingObserver()
        self.gate = Authentication(logins, self.observer, Sources(lambda: self.now, self.pause, self.matches))

    async def pause(self, delay: float, _gone: asyncio.Future[None] | None) -> None:
        """Let the time pass at once."""
        self.pauses.append(delay)
        self.now += delay

    def matches(self, _hashed: Hashed, password: bytes) -> bool:
        """Compare, in a thread."""
        assert threading.current_thread() is not threading.main_thread()
        with self._lock:
            self._busy += 1
            self.most = max(self.most, self._busy)
        assert self.open.wait(PATIENCE)
        if self.fault is not None:
            raise self.fault
        with self._lock:
            self._busy -= 1
            self.compared.append(password)
            self.now += self.takes
        return password == b"right"

    async def ask(self, login: str, password: str, *, failures: int = 0, address: str = HERE) -> Identity | Reply:
        """Show a login and a password."""
        shown = Credentials(login.encode(), password.encode())
        return await self.gate.answer(Attempt("PLAIN", Peer(address, "submission"), shown, failures))

    def reasons(self) -> list[str]:
        """Return why logins failed, as it was counted."""
        return [event[2] for event in self.observer.events if event[0] == "authentication failed"]


@pytest.fixture
def world() -> Iterator[World]:
    """A plain login and a hashed one."""
    made = World()
    yield made
    made.open.set()
    made.gate.close()


async def test_hashes_are_compared_with_in_threads_and_once(world: World) -> None:
    """The event loop goes on meanwhile, and the same login is not compared with a second time."""
    world.open.clear()
    asked = asyncio.create_task(world.ask("shop", "right"))
    assert await world.ask("app", "secret") == Identity("app", "app-logins")
    world.open.set()

    assert await asked == Identity("shop", "shop")
    assert await world.ask("shop", "right") == Identity("shop", "shop")
    assert world.compared == [b"right"]
    assert world.pauses == []


async def test_who_shows_the_same_at_once_shares_a_comparison(world: World) -> None:
    """A pool of connections of one application costs one hash, even when the one that asked first hangs up."""
    world.open.clear()
    asked = [asyncio.create_task(world.ask("shop", "right")) for _ in range(20)]
    await asyncio.sleep(0)
    asked[0].cancel()
    world.open.set()

    assert await asyncio.gather(*asked[1:]) == [Identity("shop", "shop")] * 19
    assert world.compared == [b"right"]


async def test_no_more_are_compared_at_once_or_wait_than_there_is_room_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that a client is told to come again, at once and without blame; plain logins still get in."""
    monkeypatch.setattr(authentication, "WAITING", 6)
    world.open.clear()
    asked = [asyncio.create_task(world.ask("shop", f"wrong {number}")) for number in range(6)]
    await asyncio.sleep(0)
    assert await world.ask("shop", "right") == OVERLOADED
    assert await world.ask("app", "secret") == Identity("app", "app-logins")
    assert world.pauses == []
    await eventually(lambda: world.most == authentication.AT_ONCE, what="threads are at work")
    world.open.set()
    await asyncio.gather(*asked)

    assert world.most == authentication.AT_ONCE
    assert world.reasons() == ["overloaded", *["credentials"] * 6]
    assert await world.ask("shop", "right") == Identity("shop", "shop")


@pytest.mark.parametrize(("login", "password"), [("shop", "wrong"), ("nobody", "right"), ("app", "right")])
async def test_whatever_is_wrong_costs_a_hash_and_is_refused_at_the_same_time(world: World, login: str, password: str) -> None:
    """A wrong password, an unknown login and a wrong plain password: one comparison, and one second from the beginning."""
    world.takes = 0.25

    assert await world.ask(login, password) == AUTHENTICATION_FAILED
    assert world.compared == [password.encode()]
    assert world.pauses == [0.75]


async def test_refusals_take_longer_each_time_and_end_the_session(world: World) -> None:
    """By the failures of the session before; the last says goodbye."""
    answers = [await world.ask("app", f"wrong {number}", failures=number) for number in range(ATTEMPTS)]

    assert answers == [AUTHENTICATION_FAILED] * (ATTEMPTS - 1) + [TOO_MANY_FAILURES]
    assert world.pauses == [*DELAYS, DELAYS[-1]]


async def test_a_refusal_waits_for_its_time_or_until_nobody_is_there() -> None:
    """Whichever comes first; nothing else that waits for the client's end is ended by it."""
    here, gone = asyncio.get_running_loop().create_future(), asyncio.get_running_loop().create_future()
    leaving = asyncio.create_task(authentication.patience(3600.0, gone))
    await authentication.patience(0.01, here)
    await authentication.patience(0.01, None)
    assert [each.done() for each in (here, leaving)] == [False, False]
    gone.set_result(None)

    await asyncio.wait_for(leaving, PATIENCE)


async def test_who_hangs_up_is_judged_all_the_same(world: World) -> None:
    """Guessing is counted against the network of a client that does not stay for its refusal."""
    world.gate = Authentication(LOGINS, world.observer, Sources(lambda: world.now, matches=world.matches))
    gone = asyncio.get_running_loop().create_future()
    gone.set_result(None)
    shown = Credentials(b"app", b"wrong")

    answer = await asyncio.wait_for(world.gate.answer(Attempt("PLAIN", Peer(HERE, "submission"), shown, 3, gone)), DELAYS[3] / 2)
    assert answer == AUTHENTICATION_FAILED
    assert world.reasons() == ["credentials"]


async def test_a_network_that_guesses_is_refused_unseen_and_others_are_not(world: World) -> None:
    """Right and wrong alike, but for what was right from there before; and only as long as the ban lasts."""
    assert await world.ask("app", "secret") == Identity("app", "app-logins")
    with capture_logs() as logs:
        for number in range(2 * ALLOWED + 1):
            assert await world.ask("app", f"wrong {number}") == AUTHENTICATION_FAILED
    compared = len(world.compared)

    assert await world.ask("shop", "right") == BANNED
    assert await world.ask("nobody", "x") == BANNED
    assert len(world.compared) == compared
    assert await world.ask("app", "secret") == Identity("app", "app-logins")
    assert await world.ask("shop", "right", address=ELSEWHERE) == Identity("shop", "shop")
    (banned,) = [line for line in logs if line["event"] == "network banned"]
    assert (banned["network"], banned["seconds"]) == (HERE, BAN)
    assert world.reasons()[-2:] == ["banned", "banned"]
    world.now += BAN
    assert await world.ask("shop", "right") == Identity("shop", "shop")


async def test_a_login_that_acts_as_another_is_refused_like_a_wrong_one(world: World) -> None:
    """Without a comparison, because no password would make it right."""
    assert await world.gate.answer(Attempt("PLAIN", Peer(HERE, "submission"), None)) == AUTHENTICATION_FAILED
    assert world.compared == []
    assert world.reasons() == ["authorization"]


async def test_a_certificate_needs_no_comparison_and_one_that_is_nobodys_is_refused_in_its_time(world: World) -> None:
    """Whoever TLS has proven is let in, in a ban too; the others are refused as late as a wrong password."""
    who, peer = Identity("spiffe://apps/shop", "shop"), Peer(HERE, "submission")
    for number in range(ALLOWED + 1):
        await world.ask("app", f"wrong {number}")

    assert await world.gate.answer(Attempt("EXTERNAL", peer, who)) is who
    assert await world.gate.answer(Attempt("EXTERNAL", peer, None, failures=1)) == AUTHENTICATION_FAILED
    assert world.pauses[-1] == DELAYS[1]
    assert world.observer.events[-3:] == [
        ("authenticated", "EXTERNAL", True),
        ("authenticated", "EXTERNAL", False),
        ("authentication failed", "EXTERNAL", "authorization"),
    ]


async def test_what_fails_is_logged_without_login_and_password(world: World) -> None:
    """It names the Secret where there is one, the mechanism and the reason."""
    with capture_logs() as logs:
        await world.ask("shop", "wrong")
        await world.ask("nobody-known", "wrong")

    assert [(line["event"], line["reason"], line["mechanism"], line["identity"]) for line in logs] == [
        ("authentication failed", "credentials", "PLAIN", "shop"),
        ("authentication failed", "credentials", "PLAIN", ""),
    ]
    assert not any(word in repr(logs) for word in ("wrong", "nobody-known"))


async def test_a_login_that_changes_meanwhile_is_asked_for_as_it_is_now(world: World) -> None:
    """The old password does not get in once more because its comparison took a while."""
    world.open.clear()
    asked = asyncio.create_task(world.ask("shop", "right"))
    await asyncio.sleep(0)
    world.gate.reconfigure(LOGINS[:1])
    world.open.set()

    assert await asked == AUTHENTICATION_FAILED


async def test_a_comparison_that_breaks_is_no_wrong_password(world: World) -> None:
    """No memory, say: the session hears of it, nothing counts against the client, and the next one is compared again."""
    world.fault = MemoryError("no memory")
    for _ in range(2):
        with pytest.raises(MemoryError):
            await world.ask("shop", "right")
    assert world.observer.events == []

    world.fault = None
    assert await world.ask("shop", "right") == Identity("shop", "shop")
