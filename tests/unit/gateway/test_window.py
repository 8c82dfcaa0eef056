"""Which leased messages may be delivered at once."""

from __future__ import annotations

import pytest

from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.spool.api import Entry, Recipient
from smtp_gateway.spool.window import HELD, Bounds, InHand, Window, kept_back

BOUNDS = Bounds(attempts=4, per_destination=2, octets=1000, waiting=8, share=2, still=10)
WIDE = Bounds(attempts=100, per_destination=20)


def entry(name: str, *destinations: str, size: int = 10, identity: str = "") -> Entry:
    """Return an entry for *destinations*."""
    return Entry(MessageId(name), "", tuple(Recipient(one) for one in destinations or ("here",)), 0.0, size, identity=identity)


def window(*entries: Entry, bounds: Bounds = BOUNDS) -> Window:
    """Return a window in which *entries* wait."""
    made = Window(bounds, lambda one: frozenset(recipient.address for recipient in one.recipients))
    for one in entries:
        made.add(one)
    return made


def names(entries: list[Entry]) -> list[str]:
    """Return the identifiers of *entries*."""
    return [entry.id for entry in entries]


def test_one_destination_gets_its_part() -> None:
    """A third message for a destination waits until one of the first two has ended."""
    tested = window(entry("1"), entry("2"), entry("3"), entry("4", "there"))

    assert names(tested.start(0)) == ["1", "4", "2"]
    assert tested.start(0) == []
    tested.finish(MessageId("1"), 1)
    assert names(tested.start(1)) == ["3"]


def test_no_more_than_the_bound_run() -> None:
    """Four at most, however many destinations there are."""
    tested = window(*(entry(str(number), f"d{number}") for number in range(6)))

    assert len(tested.start(0)) == 4


def test_destinations_take_turns() -> None:
    """A free place goes to the destination that got one longest ago, not to the one with the oldest backlog."""
    tested = window(*(entry(f"a{number}", "a") for number in range(3)), *(entry(f"b{number}", "b") for number in range(3)), entry("c", "c"))

    assert names(tested.start(0)) == ["a0", "b0", "c", "a1"]
    tested.finish(MessageId("a0"), 1)
    assert names(tested.start(1)) == ["b1"]


def test_identities_take_turns_before_destinations_do() -> None:
    """A newsletter to many domains does not delay another application's one message."""
    tested = window(
        *(entry(f"n{number}", f"d{number}", identity="newsletter") for number in range(6)), entry("p", "d9", identity="password")
    )

    assert names(tested.start(0)) == ["n0", "p", "n1"]
    tested.add(entry("q", "d9", identity="password"))
    tested.finish(MessageId("n0"), 1)
    tested.finish(MessageId("n1"), 1)
    assert names(tested.start(1)) == ["n2", "q"]


def newsletter(messages: int, *destinations: str, size: int = 10) -> list[Entry]:
    """Return one application's flood."""
    return [entry(f"n{number}", *destinations, size=size, identity="newsletter") for number in range(messages)]


@pytest.mark.parametrize(("bound", "kept"), [(1, 0), (3, 0), (4, 1), (5, 1), (19, 1), (20, 2), (200, 20)])
def test_how_much_is_kept_back(bound: int, kept: int) -> None:
    """A tenth, one at least, and nothing of what is little already."""
    assert kept_back(bound) == kept


def test_an_identity_that_has_nothing_under_way_need_not_wait() -> None:
    """Whatever another one has begun towards the same destination: a part of its places is for those who have none."""
    tested = window(entry("p", identity="password"), *newsletter(30), bounds=WIDE)
    assert len(tested.start(0)) == 1 + 17
    tested.finish(MessageId("p"), 1)

    assert tested.admit(entry("q", identity="password"), 2)
    assert tested.admit(entry("r", identity="reports"), 2)
    assert not tested.admit(entry("s", identity="password"), 2)
    assert tested.start(2) == []


def test_the_places_towards_a_destination_are_never_more_than_it_may_have() -> None:
    """What is kept back is a part of the ceiling, and not something beyond it."""
    names = [f"identity{number}" for number in range(30)]
    tested = window(*(entry(name, identity=name) for name in names), bounds=WIDE)

    assert len(tested.start(0)) == 20


def test_who_is_alone_may_use_every_place() -> None:
    """As long as no second identity is known, nothing is kept back for one; the gateway's own notices are none."""
    tested = window(*newsletter(30), entry("notice"), bounds=WIDE)

    assert len(tested.start(0)) == 20


def test_a_destination_of_few_places_keeps_none_back() -> None:
    """One that is approached with care gets what it can take."""
    tested = window(entry("p", "there", identity="password"), *newsletter(5), bounds=Bounds(per_destination=3))

    assert names(tested.start(0)) == ["p", "n0", "n1", "n2"]


def test_a_part_of_all_places_is_kept_back() -> None:
    """A newsletter to many slow domains does not take the last of them."""
    tested = window(
        entry("p", identity="password"),
        *(entry(f"n{number}", f"d{number}", identity="newsletter") for number in range(200)),
        bounds=Bounds(attempts=100),
    )
    assert len(tested.start(0)) == 90
    tested.finish(MessageId("p"), 1)

    assert names(tested.start(1)) == ["n89"]
    assert tested.admit(entry("q", "d0", identity="password"), 1)


def test_a_part_of_the_memory_is_kept_back() -> None:
    """Large mail of one identity leaves room for another's small one."""
    bounds = Bounds(octets=10 * HELD, per_destination=100)
    tested = window(entry("p", identity="password"), *newsletter(20, size=HELD), bounds=bounds)

    assert len(tested.start(0)) == 1 + 8
    tested.finish(MessageId("p"), 1)
    assert tested.admit(entry("q", identity="password", size=HELD), 1)


def test_a_place_is_free_when_the_next_hop_has_answered() -> None:
    """The next message begins while the result of the one before is still to be written down, and that one counts as running until then."""
    tested = window(entry("1"), entry("2"), entry("3"))
    tested.start(0)
    tested.answered(MessageId("1"), 1)

    assert names(tested.start(1)) == ["3"]
    assert tested.running(MessageId("1"))
    tested.finish(MessageId("1"), 2)
    assert not tested.running(MessageId("1"))


def test_what_is_not_written_down_yet_is_bounded() -> None:
    """What a crash would deliver twice is no more than the places of its destination, however slow the disk is."""
    tested = window(*(entry(str(number)) for number in range(6)), bounds=Bounds(per_destination=2))
    tested.start(0)
    tested.answered(MessageId("0"), 1)
    assert names(tested.start(1)) == ["2"]
    tested.answered(MessageId("1"), 1)

    assert tested.start(1) == []
    tested.finish(MessageId("0"), 2)
    assert names(tested.start(2)) == ["3"]


def test_a_message_begins_at_once_and_behind_its_own() -> None:
    """When there is a place for it and none of its identity waits for the same destination."""
    tested = window()

    assert tested.admit(entry("1"), 0)
    assert tested.admit(entry("2"), 0)
    assert not tested.admit(entry("3"), 0)
    assert tested.admit(entry("4", "there"), 0)
    tested.finish(MessageId("1"), 1)
    assert not tested.admit(entry("5"), 1)
    assert names(tested.start(1)) == ["3"]


def test_a_ceiling_below_the_bound_counts() -> None:
    """A destination that is approached with care gets as many as its ceiling says, another one as many as the bound."""
    ceilings = {"a": 1}
    tested = Window(BOUNDS, lambda one: frozenset(recipient.address for recipient in one.recipients), ceilings.get)
    for one in (entry("1", "a"), entry("2", "a"), entry("3", "b"), entry("4", "b"), entry("5", "b")):
        tested.add(one)

    assert names(tested.start(0)) == ["1", "3", "4"]
    ceilings["a"] = 9
    assert names(tested.start(0)) == ["2"]


def test_new_mail_is_welcome_when_it_overtakes_nobody() -> None:
    """It may wait here at once while there is room and nothing older is left in the queue."""
    tested = window(*(entry(str(number), identity="a") for number in range(7)))

    assert not tested.welcomes("a")
    tested.caught_up = True
    assert tested.welcomes("a")
    tested.add(entry("7", identity="a"))
    assert not tested.welcomes("a")


def test_an_identity_with_little_waiting_is_always_welcome() -> None:
    """A window full of one application's mail keeps no other application out."""
    tested = window(*(entry(str(number), identity="a") for number in range(8)))

    assert tested.welcomes("b")
    tested.add(entry("8", identity="b"))
    tested.add(entry("9", identity="b"))
    assert not tested.welcomes("b")


def test_large_bodies_wait_for_memory_and_the_largest_goes_alone() -> None:
    """The octets in memory are bounded, and no message is too large for ever."""
    tested = window(entry("1", "a", size=600), entry("2", "b", size=600), entry("3", "c", size=5000))

    assert names(tested.start(0)) == ["1"]
    tested.finish(MessageId("1"), 1)
    assert names(tested.start(1)) == ["2"]
    tested.finish(MessageId("2"), 2)
    assert names(tested.start(2)) == ["3"]


def test_a_message_for_several_destinations_needs_a_place_at_each() -> None:
    """It waits as long as one of them is full."""
    tested = window(entry("1", "a"), entry("2", "a"))
    tested.start(0)
    tested.add(entry("3", "a", "b"))

    assert tested.start(0) == []
    tested.finish(MessageId("2"), 0)
    assert names(tested.start(0)) == ["3"]


def test_leasing_is_done_in_strides() -> None:
    """Nothing is leased before half of the window is free."""
    tested = window()
    assert tested.appetite == 8
    for number in range(5):
        tested.add(entry(str(number)))
    assert tested.appetite == 0
    tested.start(0)
    assert tested.appetite == 5


def test_only_a_standstill_is_crowded_out() -> None:
    """With a full window, what waits behind a destination that has not moved for a while is put back; a busy one keeps its place."""
    tested = window(*(entry(f"a{number}", "a") for number in range(5)), *(entry(f"b{number}", "b") for number in range(5)))
    tested.start(0)
    tested.finish(MessageId("b0"), 9)
    tested.start(9)

    assert tested.crowded_out(9) == []
    assert names(tested.crowded_out(12)) == ["a2", "a3", "a4"]
    assert tested.crowded_out(12) == []


def test_a_window_with_room_crowds_nothing_out() -> None:
    """As long as others can be seen, a standstill does not matter."""
    tested = window(entry("1"), entry("2"), entry("3"))
    tested.start(0)

    assert tested.crowded_out(1000) == []


def test_rerouting_moves_what_waits() -> None:
    """After a change of routes, waiting messages wait for their new destinations."""
    place = ["a"]
    tested = Window(BOUNDS, lambda _: frozenset(place))
    for number in range(3):
        tested.add(entry(str(number)))
    tested.start(0)
    place[0] = "b"
    tested.reroute()

    assert names(tested.start(0)) == ["2"]


def test_emptying_returns_what_waits() -> None:
    """What runs is not among it."""
    tested = window(entry("1"), entry("2"), entry("3"))
    tested.start(0)

    assert names(tested.empty()) == ["3"]
    assert tested.appetite == 8


def test_bodies_are_in_hand_as_far_as_there_is_room() -> None:
    """What does not fit is not kept, what is dropped makes room, and what is not there is not missed."""
    tested = InHand(10)
    tested.keep(MessageId("a"), b"12345678")
    tested.keep(MessageId("b"), b"123")

    assert tested.drop(MessageId("b")) is None
    assert tested.drop(MessageId("a")) == b"12345678"
    assert tested.drop(MessageId("a")) is None
    tested.keep(MessageId("c"), b"1234567890")
    assert tested.drop(MessageId("c")) == b"1234567890"


def test_a_waiting_entry_can_be_withdrawn() -> None:
    """It waits no longer, its identity has one less, and the others keep their order."""
    tested = window(*(entry(str(number), identity="a") for number in range(3)), entry("other", "there", identity="b"))

    assert tested.withdraw(MessageId("1"))
    assert not tested.withdraw(MessageId("1"))
    assert tested.withdraw(MessageId("other"))
    assert names(tested.start(0)) == ["0", "2"]
    assert tested.appetite == BOUNDS.waiting


def test_a_running_entry_cannot_be_withdrawn() -> None:
    """Its next hop may have it already."""
    tested = window(entry("1"))
    tested.start(0)

    assert tested.running(MessageId("1"))
    assert not tested.withdraw(MessageId("1"))
    tested.finish(MessageId("1"), 1)
    assert not tested.running(MessageId("1"))
