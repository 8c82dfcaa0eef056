"""The window with paces, on a clock of the test's own: who starts when."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtp_gateway.config.model import Config, Listener, Route, Smarthost
from smtp_gateway.config.pace import Pacing as Pace
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.mail.outcome import Deferred, Delivered, Outcome
from smtp_gateway.mail.reply import Reply
from smtp_gateway.pacing import Pacing
from smtp_gateway.rates.budget import DAY, QUARTER
from smtp_gateway.rates.sharing import WHOLE, Share
from smtp_gateway.rates.spacing import SLACK
from smtp_gateway.routing.table import Batch, Table
from smtp_gateway.spool.api import Entry, Recipient
from smtp_gateway.spool.window import Bounds, Window

NOW = 1_700_000_000.0
HOP = (Smarthost(host="smtp.example"),)
GONE = Delivered(Reply(250))


def config(pace: Pace | None, *, mx: bool = False) -> Config:
    """Return a configuration: mail for slow.example goes over a route with *pace*, to its MX if asked for, all other mail over one without."""
    slow = Route(name="slow", recipient_domains=("slow.example", "*.slow.example"), smarthosts=() if mx else HOP, pacing=pace)
    routes = (slow, Route(name="free", smarthosts=HOP))
    return Config(hostname="gateway.example", listeners=(Listener(name="submission", port=587),), routes=routes)


@dataclass
class Simulation:
    """A window at work: each message takes a second."""

    config: Config
    bounds: Bounds = field(default_factory=Bounds)
    share: Share = WHOLE
    seconds: float = 1.0
    now: float = 0.0
    begun: list[tuple[float, Entry]] = field(default_factory=list)
    running: list[tuple[float, Entry]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open the window."""
        self.table = Table(self.config.routes)
        self.pacing = Pacing(self.config, self.share, lambda: NOW + self.now)
        self.window = Window(
            self.bounds, lambda entry: self.table.destinations((one.address for one in entry.recipients), entry), paces=self.pacing
        )
        self.numbers = count()

    def put(self, *addresses: str, identity: str = "app", sender: str = "me@here.example") -> Entry:
        """Let a message wait."""
        recipients = tuple(Recipient(address) for address in addresses)
        entry = Entry(MessageId(f"m{next(self.numbers)}"), sender, recipients, NOW + self.now, 10, identity=identity)
        self.window.add(entry)
        return entry

    def batches(self, entry: Entry) -> tuple[Batch, ...]:
        """Return what is delivered of *entry*."""
        return self.table.batches((one.address for one in entry.recipients), entry)

    def run(self, until: float, outcome: Outcome = GONE) -> list[Entry]:
        """Go on *until* then, and return what began."""
        known = len(self.begun)
        while True:
            for entry in self.window.start(self.now):
                self.begun.append((self.now, entry))
                self.running.append((self.now + self.seconds, entry))
            upcoming = [end for end, _ in self.running] + ([self.window.paced.opens_at] if self.window.paced else [])
            following = min(upcoming, default=math.inf)
            if following > until:
                self.now = until
                return [entry for _, entry in self.begun[known:]]
            assert following > self.now or self.running, "it does not spin"
            self.now = max(self.now, following)
            self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        for end, entry in [one for one in self.running if one[0] <= self.now]:
            self.running.remove((end, entry))
            for batch in self.batches(entry):
                self.pacing.came_to(entry.id, batch, dict.fromkeys(batch.recipients, outcome), self.now)
            self.window.finish(entry.id, self.now)


def test_mail_goes_as_its_pace_allows_and_other_mail_at_once() -> None:
    """Thirty a minute is one in two seconds; a route without a pace does not notice, even behind a window full of the other's mail."""
    simulation = Simulation(config(Pace(messages_per_minute=30)), Bounds(waiting=10, paced=100))
    for number in range(50):
        simulation.put(f"u{number}@slow.example")
    free = [simulation.put(f"u{number}@free.example") for number in range(5)]

    begun = simulation.run(10.0)

    assert [entry for entry in begun if "free" in entry.recipients[0].address] == free
    assert [at for at, entry in simulation.begun if entry not in free] == pytest.approx(
        [0, 2 - SLACK, 4 - SLACK, 6 - SLACK, 8 - SLACK, 10 - SLACK]
    )
    assert simulation.window.appetite == 10, "what waits for its pace takes no place of others"


@given(
    st.integers(1, 30),
    st.lists(st.tuples(st.floats(0.0, 30.0, allow_nan=False), st.integers(1, 3), st.sampled_from(["a", "b", "c"])), max_size=40),
)
@settings(max_examples=50, deadline=None)
def test_no_minute_has_more_than_its_recipients_and_all_get_their_turn(limit: int, arrivals: list[tuple[float, int, str]]) -> None:
    """Whenever messages come, in any minute there are no more recipients than allowed and those of one message; everything leaves at last."""
    simulation = Simulation(config(Pace(recipients_per_minute=limit)))
    for wait, recipients, identity in arrivals:
        simulation.run(simulation.now + wait)
        simulation.put(*(f"r{number}@slow.example" for number in range(recipients)), identity=identity)
    simulation.run(simulation.now + 60.0 * (sum(recipients for _, recipients, _ in arrivals) / limit + 2))

    assert len(simulation.begun) == len(arrivals)
    for number, (begin, _) in enumerate(simulation.begun):
        within = [len(entry.recipients) for at, entry in simulation.begun[number:] if at < begin + 60]
        assert sum(within) <= limit * (60 + SLACK) / 60 + within[-1] + 1e-6


def test_identities_take_turns_at_a_pace_of_their_own() -> None:
    """One that sends all the time over another route does not lose its turns on the slow one for that."""
    simulation = Simulation(config(Pace(messages_per_second=1)))
    for number in range(20):
        simulation.put(f"u{number}@slow.example", identity="newsletter")
    for number in range(5):
        simulation.put(f"v{number}@slow.example", identity="busy")
    for second in range(10):
        for number in range(10):
            simulation.put(f"w{number}@free.example", identity="busy")
        simulation.run(second + 0.95)

    slow = [entry.identity for _, entry in simulation.begun if "slow" in entry.recipients[0].address]
    assert slow[:10] == ["newsletter", "busy"] * 5


def test_connections_are_those_of_the_whole_route() -> None:
    """Three at a time over all MX, and the next when one of them has ended; a pod of two has two of them."""
    simulation = Simulation(config(Pace(connections=3), mx=True), seconds=5.0)
    for number in range(8):
        simulation.put(f"u@m{number}.slow.example")

    assert len(simulation.run(4.0)) == 3
    assert len(simulation.run(9.0)) == 3
    half = Simulation(config(Pace(connections=3), mx=True), share=Share(2, 0), seconds=5.0)
    for number in range(8):
        half.put(f"u@m{number}.slow.example")
    assert len(half.run(4.0)) == 2


def test_only_recipients_that_are_tried_are_counted() -> None:
    """One whose time has not come takes no place, and gives none back."""
    simulation = Simulation(config(Pace(connections=2), mx=True), seconds=5.0)
    for number in range(3):
        due, later = Recipient(f"a@m{number}.slow.example"), Recipient(f"b@n{number}.slow.example", next_attempt=NOW + 3600)
        simulation.window.add(Entry(MessageId(f"later{number}"), "me@here.example", (due, later), NOW, 10))
    for number in range(6):
        simulation.put(f"u@o{number}.slow.example")

    assert [len(simulation.run(4.0 + 5 * turn)) for turn in range(4)] == [2, 2, 2, 2]


def test_a_message_counts_by_what_the_limit_counts() -> None:
    """Two domains are two transactions, 101 recipients of one domain too; each recipient is one."""
    messages = Simulation(config(Pace(messages_per_second=1), mx=True))
    messages.put("a@x.slow.example", "b@y.slow.example")
    messages.put("a@x.slow.example")
    messages.run(10.0)
    assert [at for at, _ in messages.begun] == pytest.approx([0.0, 2.0 - SLACK])

    large = Simulation(config(Pace(messages_per_second=1)))
    large.put(*(f"u{number}@slow.example" for number in range(101)))
    large.put("a@slow.example")
    large.run(10.0)
    assert [at for at, _ in large.begun] == pytest.approx([0.0, 2.0 - SLACK])

    recipients = Simulation(config(Pace(recipients_per_second=2)))
    recipients.put(*(f"u{number}@slow.example" for number in range(10)))
    recipients.put("a@slow.example")
    recipients.run(10.0)
    assert [at for at, _ in recipients.begun] == pytest.approx([0.0, 5.0 - SLACK])


def test_a_day_has_its_budget_and_bounces_are_not_of_it() -> None:
    """Three messages go, then bounces alone; a day later the next three."""
    simulation = Simulation(config(Pace(messages_per_day=3)))
    for number in range(5):
        simulation.put(f"u{number}@slow.example")
    bounces = [simulation.put("me@slow.example", identity="", sender="") for _ in range(4)]

    begun = simulation.run(3600.0)

    assert len([entry for entry in begun if entry.sender]) == 3
    assert [entry for entry in begun if not entry.sender] == bounces
    assert len(simulation.run(DAY - 1)) == 0
    assert len(simulation.run(DAY + 2 * QUARTER)) == 2


def test_mail_that_waits_for_a_day_is_not_looked_at_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the window is asked within a second; a bounce goes at once all the same, and what is given back is used soon."""
    world, asked = Simulation(config(Pace(messages_per_day=1), mx=True)), list[str]()
    first = world.put("u@slow.example")
    assert world.window.start(0.0) == [first]
    for number in range(9):
        world.put(f"u@d{number}.slow.example")
    original = world.pacing.holds_until

    def holds_until(entry: Entry, destinations: frozenset[str], now: float) -> float:
        asked.append(entry.id)
        return original(entry, destinations, now)

    monkeypatch.setattr(world.pacing, "holds_until", holds_until)
    for _ in range(100):
        assert world.window.start(1.0) == []
    assert len(asked) == 9

    bounce = world.put("u@slow.example", sender="", identity="")
    assert world.window.start(1.0) == [bounce]
    (batch,) = world.batches(first)
    world.pacing.give_back(first.id, batch, 0, 1.0)
    world.window.start(1.0)
    assert world.window.paced.opens_at == 2.0
    assert len(world.window.start(2.0)) == 1


def test_what_no_next_hop_took_is_not_of_the_day() -> None:
    """Ten attempts at a next hop that takes nothing, and the budget of three is whole."""
    simulation = Simulation(config(Pace(messages_per_day=3, connections=3)))
    for number in range(10):
        simulation.put(f"u{number}@slow.example")

    assert len(simulation.run(100.0, Deferred(Reply(451), unreached=True))) == 10
    assert simulation.pacing.spent()["slow"].sum(100.0).messages == 0


def test_a_destination_that_asks_for_less_gets_less_and_more_again() -> None:
    """Its mail waits, other mail on the same route does not; after some minutes nothing waits any more."""
    simulation = Simulation(config(None, mx=True), Bounds(per_destination=2))
    slow = [simulation.put(f"u{number}@busy.slow.example") for number in range(1500)]
    simulation.run(20.0)
    already = len(simulation.begun)
    assert already == 42
    made = simulation.pacing.slow_down("slow/busy.slow.example", 20.0, 20.0)
    assert made is not None
    assert simulation.pacing.slow_down("slow/busy.slow.example", 19.0, 20.5) is None, "that was on its way"
    other = simulation.put("u@idle.slow.example")

    begun = simulation.run(50.0)

    assert other in begun
    assert len(begun) - 1 == pytest.approx(30 * made.rate(35.0), abs=2)
    assert simulation.pacing.standing(simulation.window.paced, 50.0)["slow"].throttled == 1
    simulation.pacing.recover(1000.0)
    assert simulation.pacing.standing((), 1000.0) == {}
    simulation.now = 1000.0
    simulation.run(1001.0)
    assert len(simulation.window.paced) > 0, "they are let through in their order, by the places that there are"
    simulation.run(3000.0)
    assert [entry for _, entry in simulation.begun if entry is not other] == slow


def test_a_throttled_destination_holds_its_own_mail_back_within_a_paced_route() -> None:
    """The route's turns go to the others; and what asked for less on a route with smarthosts slows the route down."""
    simulation = Simulation(config(Pace(messages_per_second=2), mx=True))
    simulation.pacing.slow_down("slow/busy.slow.example", 0.0, 0.0)
    for number in range(3):
        simulation.put(f"u{number}@busy.slow.example")
        simulation.put(f"u{number}@idle.slow.example")
    assert {entry.recipients[0].address for entry in simulation.run(10.0)} == {f"u{number}@idle.slow.example" for number in range(3)}

    relayed = Simulation(config(Pace(messages_per_second=2)))
    for number in range(100):
        relayed.put(f"u{number}@slow.example")
    relayed.run(10.0)
    relayed.pacing.slow_down("slow/", 10.0, 10.0)
    assert relayed.pacing.standing((), 10.0)["slow"].rate == pytest.approx(1.0, abs=0.1)
    assert len(relayed.run(20.0)) == pytest.approx(10, abs=2)


def test_a_message_for_several_gates_waits_for_the_last_and_holds_nobody_up() -> None:
    """It goes when the slower destination may have it; the faster one's mail goes on meanwhile."""
    simulation = Simulation(config(None, mx=True))
    for name in ("one", "two"):
        simulation.put(f"u@{name}.slow.example")
    simulation.run(2.0)
    simulation.pacing.slow_down("slow/one.slow.example", 2.0, 2.0)
    simulation.now = 200.0
    simulation.pacing.slow_down("slow/two.slow.example", 200.0, 200.0)
    both = simulation.put("u@one.slow.example", "u@two.slow.example")
    single = [simulation.put(f"v{number}@one.slow.example") for number in range(3)]

    begun = simulation.run(400.0)

    assert {entry.id for entry in begun} == {entry.id for entry in (both, *single)}
    assert next(at for at, entry in simulation.begun if entry is both) > next(at for at, entry in simulation.begun if entry is single[0])


def test_too_many_that_wait_for_their_pace_go_back() -> None:
    """The last of whoever has most; the window forgets them, and knows the others."""
    simulation = Simulation(config(Pace(messages_per_minute=1)), Bounds(paced=4))
    many = [simulation.put(f"u{number}@slow.example", identity="many") for number in range(6)]
    few = simulation.put("v@slow.example", identity="few")

    assert simulation.window.crowded_out(0.0) == [many[5], many[4], many[3]]
    assert simulation.window.crowded_out(0.0) == []
    assert simulation.window.withdraw(few.id)
    assert not simulation.window.withdraw(few.id)
    assert few.id not in simulation.window.paced
    assert sorted(entry.id for entry in simulation.window.empty()) == [entry.id for entry in many[:3]]
    assert not simulation.window.paced


def test_another_configuration_sorts_what_waits_anew() -> None:
    """A pace that is taken away lets all go; one that is given holds them; what was learnt of an unchanged route stays."""
    simulation = Simulation(config(Pace(messages_per_minute=1, messages_per_day=9)))
    for number in range(4):
        simulation.put(f"u{number}@slow.example")
    assert len(simulation.run(0.5)) == 1
    simulation.pacing.slow_down("slow/", 0.5, 0.5)

    simulation.pacing.reconfigure(config(Pace(messages_per_second=100, messages_per_day=9)), WHOLE)
    assert simulation.pacing.spent()["slow"].sum(1.0).messages == 1
    assert simulation.pacing.standing((), 1.0)["slow"].throttled == 1
    simulation.pacing.reconfigure(config(None, mx=True), WHOLE)
    assert simulation.pacing.standing((), 1.0) == {}
    simulation.window.reroute()
    assert len(simulation.run(1.0)) == 3
    assert not simulation.window.paced


def test_how_long_mail_waits_is_told() -> None:
    """Of each route that has a pace, since its first message could have gone."""
    simulation = Simulation(config(Pace(messages_per_minute=1)))
    for number in range(4):
        simulation.put(f"u{number}@slow.example")
    simulation.run(30.0)

    standing = simulation.pacing.standing(simulation.window.paced, simulation.now)

    assert (standing["slow"].waiting, standing["slow"].seconds, standing["slow"].throttled) == (3, 30.0, 0)
    assert standing["slow"].rate == pytest.approx(1 / 60)
    assert "free" not in standing
