"""What a gateway tells about itself, put together from its sources."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from smtp_gateway import pacing
from smtp_gateway.config.report import Cause
from smtp_gateway.probing.probe import Finding
from smtp_gateway.probing.upstreams import Standing, Upstream
from smtp_gateway.qshape import Waiting
from smtp_gateway.reporting import Sources, State, gauges, report
from smtp_gateway.spool.api import Settlement
from smtp_gateway.spool.memory import MemorySpool
from smtp_gateway.telemetry.observer import NullObserver
from smtp_gateway.telemetry.recent import RecentOutcomes
from smtp_gateway.telemetry.table import READ_AT_SCRAPE
from tests.support.messages import NOW, new_message
from tests.unit.gateway.test_upstreams import ONE, OTHER, WELL_FOUND, config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WELL = Upstream("r0", ONE, Standing(WELL_FOUND, NOW, NOW))
AWAY = Upstream("r0", OTHER, Standing(Finding(Cause.TIMEOUT, "no answer"), NOW, NOW - 60))
UNPROBED = Upstream("r0", OTHER, Standing())


async def sources(
    upstreams: Sequence[Upstream] = (),
    *,
    not_after: float | None = NOW + 5,
    problem: str = "",
    paces: Mapping[str, pacing.Standing] | None = None,
    shape: Mapping[str, Waiting] | None = None,
) -> Sources:
    """Return the sources of a gateway with a held message, and another that is due."""
    spool = MemorySpool()
    kept = new_message(accepted_at=NOW - 60)
    for message in (kept, new_message(accepted_at=NOW - 5)):
        await spool.put(message)
    await spool.hold(kept.id)
    outcomes = RecentOutcomes(NullObserver(), lambda: NOW)
    outcomes.deferred("r0", "app", 3)
    certificate: Any = SimpleNamespace(not_after=not_after, problem=problem)
    known: Any = upstreams
    state = State(config((ONE,)), "abc", problem, problem or None, draining=False)
    return Sources(lambda: state, spool, lambda _: False, lambda: paces or {}, known, outcomes, certificate, lambda: shape, lambda: NOW)


async def test_a_report_has_what_its_sources_say() -> None:
    """The queue without what is held, each route, each upstream, what is wrong."""
    said = report("mail-0", await sources([WELL, AWAY, UNPROBED], problem="damaged"))

    assert (said.pod, said.config_hash, said.config_problem, said.accepting) == ("mail-0", "abc", "damaged", False)
    assert (said.queue.messages, said.queue.held, said.queue.oldest, said.queue.lateness) == (2, 1, NOW - 5, 5.0)
    assert [(route.name, route.attempted, route.deferred) for route in said.routes] == [("r0", 3, 3), ("default", 0, 0)]
    assert [(one.reachable, one.cause, one.reply) for one in said.upstreams] == [
        (True, "", "250 2.0.0 Ok"),
        (False, "Timeout", "no answer"),
        (None, "", ""),
    ]
    assert (said.certificate.not_after, said.certificate.problem) == (NOW + 5, "damaged")


async def test_what_was_put_off_is_over_when_nothing_waits() -> None:
    """An outage of the next hop is not told for a quarter of an hour after everything has left; what is held waits for a person."""
    emptied = await sources()
    (entry,) = emptied.spool.lease(NOW, 10)
    assert report("mail-0", emptied).routes[0].deferred == 3
    await emptied.spool.settle(Settlement(entry.id))

    assert [(route.attempted, route.deferred) for route in report("mail-0", emptied).routes] == [(0, 0), (0, 0)]
    assert report("mail-0", emptied).queue.held == 1


async def test_a_pod_that_drains_says_whether_anything_can_come_yet() -> None:
    """Whoever waits for it to be empty must know of connections that are open: each is a session, or may become one."""
    state = State(config((ONE,)), "abc", "", "draining", draining=True, sessions=2)
    said = report("mail-0", replace(await sources(), state=lambda: state))

    assert (said.accepting, said.draining, said.sessions) == (False, True, 2)


async def test_a_blocked_port_is_told() -> None:
    """To the operator and to Prometheus."""
    state = State(config((ONE,)), "abc", "", None, draining=False, port_25_blocked=True)
    asked = replace(await sources(), state=lambda: state)

    assert report("mail-0", asked).port_25_blocked
    assert ("port_25_blocked", (), True) in list(gauges(asked))


async def test_a_blocked_port_that_no_route_needs_is_not_told() -> None:
    """Whoever gave all mail smarthosts, as the runbook says, is not woken by what was seen before."""
    cured = config((ONE,))
    cured = cured.model_copy(update={"routes": (cured.routes[-1].model_copy(update={"smarthosts": (ONE,)}),)})
    state = State(cured, "abc", "", None, draining=False, port_25_blocked=True)
    asked = replace(await sources(), state=lambda: state)

    assert not report("mail-0", asked).port_25_blocked
    assert ("port_25_blocked", (), False) in list(gauges(asked))


async def test_gauges_say_the_same() -> None:
    """By the names of the table; what is not known has none."""
    said = list(
        gauges(await sources([WELL, AWAY, UNPROBED], paces={"r0": pacing.Standing(0, 0.0, 1.0, 0)}, shape={"r0": Waiting(2, NOW - 60)}))
    )

    assert {name for name, *_ in said} == set(READ_AT_SCRAPE) - {"spool_volume_bytes", "spool_free_bytes", "spool_used_bytes"}
    plain = {name: value for name, labels, value in said if not labels}
    assert plain == {
        "queue_messages": 2,
        "queue_oldest_seconds": 60.0,
        "queue_held_messages": 1,
        "queue_lateness_seconds": 5.0,
        "draining": False,
        "port_25_blocked": False,
        "config_last_load_successful": True,
        "certificate_expiration_timestamp_seconds": NOW + 5,
    }
    one, other = ("r0", "one.example", "25", ""), ("r0", "other.example", "587", "")
    assert [(labels, value) for name, labels, value in said if name == "upstream_up"] == [(one, True), (other, False)]
    assert [labels for name, labels, _ in said if name == "upstream_failure"] == [(*other, Cause.TIMEOUT)]
    reached = [(labels, value) for name, labels, value in said if name == "upstream_last_success_timestamp_seconds"]
    assert reached == [(one, NOW), (other, NOW - 60)]
    assert ("config_info", ("abc",), 1) in said


async def test_what_waits_for_a_route_is_told_as_far_as_it_is_known() -> None:
    """Nothing while it is not; of an empty queue it always is."""

    def told(asked: Sources) -> dict[tuple[str, str], float]:
        return {(name, labels[0]): value for name, labels, value in gauges(asked) if name.startswith("route_queue_")}

    assert told(await sources()) == {}
    known = await sources(shape={"r0": Waiting(2, NOW - 60)})
    assert told(known) == {
        ("route_queue_messages", "r0"): 2,
        ("route_queue_oldest_seconds", "r0"): 60.0,
        ("route_queue_messages", "default"): 0,
        ("route_queue_oldest_seconds", "default"): 0.0,
    }
    assert set(told(replace(known, spool=MemorySpool())).values()) == {0.0}


async def test_an_expiry_that_is_not_understood_has_no_gauge() -> None:
    """Nor does a report name one."""
    asked = await sources(not_after=None)

    assert "certificate_expiration_timestamp_seconds" not in {name for name, *_ in gauges(asked)}
    assert report("mail-0", asked).certificate.not_after is None


async def test_mail_that_waits_for_its_pace_is_told_by_route() -> None:
    """How much, and since when, in the report; how fast it may go in the gauges, and nothing of a route without a rate."""
    paces = {"r0": pacing.Standing(7, 12.5, 0.5, 1), "default": pacing.Standing(0, 0.0, math.inf, 3)}
    told = await sources([WELL], paces=paces)

    assert [(route.name, route.paced, route.paced_seconds) for route in report("mail-0", told).routes] == [
        ("r0", 7, 12.5),
        ("default", 0, 0.0),
    ]
    readings = {(name, labels): value for name, labels, value in gauges(told) if "pace" in name or "throttled" in name}
    assert readings == {
        ("paced_messages", ("r0",)): 7,
        ("throttled_destinations", ("r0",)): 1,
        ("pace_messages_per_second", ("r0",)): 0.5,
        ("paced_messages", ("default",)): 0,
        ("throttled_destinations", ("default",)): 3,
    }
