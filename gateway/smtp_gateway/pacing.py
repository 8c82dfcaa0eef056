"""How fast each route and each destination may be given mail: what the window asks before a message starts (`spool.paced.Paces`).

A route with a pace of its own is one gate for all that goes over it. A destination that asked for less is a gate of its own on a route
without; on a route with a pace it holds its own mail back within the route's turns. A message for several gates waits for the one that
opens last, and is counted at all of them: the others make up for it. The budget of a day is never overdrawn in this way, because what is
beyond it may be refused for good.

Bounces are paced as all mail is, and a day's budget neither counts nor holds them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import structlog

from smtp_gateway.delivery.client import RECIPIENTS
from smtp_gateway.mail.outcome import Delivered
from smtp_gateway.rates.budget import NOTHING, Spent, Sums
from smtp_gateway.rates.meter import Meter, limits_of
from smtp_gateway.rates.throttle import Recent, Throttle, cut
from smtp_gateway.routing.table import Table
from smtp_gateway.spool import schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from smtp_gateway.config.model import Config, Smarthost
    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.mail.outcome import Outcome
    from smtp_gateway.rates.sharing import Share
    from smtp_gateway.routing.table import Batch
    from smtp_gateway.spool.api import Entry
    from smtp_gateway.spool.lanes import Destinations
    from smtp_gateway.spool.paced import Waiting

REMEMBERED = 10_000
"""Destinations whose recent messages are counted, some 200 octets each; beyond that all are counted anew."""

_log = structlog.get_logger()


class Standing(NamedTuple):
    """How a route stands with its pace."""

    waiting: int
    """Messages that are due and wait for it."""
    seconds: float
    """For how long the first of them has waited."""
    rate: float
    """Messages a second that may go now; infinity when nothing is said of them."""
    throttled: int
    """Destinations that asked for less."""


def route_of(destination: str) -> str:
    """Return the name of the route of a destination (`routing.table.Way.destination`)."""
    return destination.partition("/")[0]


class Pacing:
    """The paces of all routes and destinations. Times are seconds of a clock that does not go back, where nothing else is said."""

    def __init__(self, config: Config, share: Share, clock: Callable[[], float]) -> None:
        """Pace as *config* says for a pod with *share*; *clock* tells seconds since the epoch."""
        self._clock = clock
        self._meters: dict[str, Meter] = {}
        self._throttles: dict[str, Throttle] = {}
        self._recent: dict[str, Recent] = {}
        self._under_way: dict[MessageId, dict[str, tuple[Sums, float]]] = {}
        """Of messages under way that something counts: by destination, what they cost of a day's budget, and when they started."""
        self._hops: dict[str, tuple[Smarthost, ...]] = {}
        self.reconfigure(config, share)

    def reconfigure(self, config: Config, share: Share) -> None:
        """Pace as *config* says from now on. What was sent counts on, and what was learnt of routes that lead where they led before."""
        self._table = Table.of(config)
        before, self._hops = self._hops, {route.name: route.smarthosts for route in config.routes}
        same = {name for name, hops in self._hops.items() if before.get(name) == hops}
        self._throttles = {where: throttle for where, throttle in self._throttles.items() if route_of(where) in same}
        meters = {}
        for route in config.routes:
            if route.pacing is not None:
                meters[route.name] = meter = self._meters.get(route.name) or Meter(limits_of(route.pacing, share))
                meter.limit(limits_of(route.pacing, share))
        self._meters = meters

    def gate(self, destinations: Destinations) -> str | None:
        """See `Paces.gate`."""
        if not self._meters and not self._throttles:
            return None
        gates = {gate for one in destinations if (gate := self._gate_of(one)) is not None}
        return max(gates, key=self.opens_at, default=None)

    def _gate_of(self, destination: str) -> str | None:
        route = route_of(destination)
        if route in self._meters:
            return route
        return destination if destination in self._throttles else None

    def opens_at(self, gate: str) -> float:
        """See `Paces.opens_at`; a gate that is gone is open."""
        if (meter := self._meters.get(gate)) is not None:
            return meter.opens_at
        throttle = self._throttles.get(gate)
        return -math.inf if throttle is None else throttle.due

    def holds_until(self, entry: Entry, destinations: Destinations, now: float) -> float:
        """See `Paces.holds_until`."""
        until = now
        if len(destinations) == 1 and (throttle := self._throttles.get(next(iter(destinations)))) is not None:
            until = throttle.due
        if until > now or not entry.sender:
            return until
        daily = {route for one in destinations if (route := route_of(one)) in self._meters and self._meters[route].limits.daily}
        for route in daily:
            costs = self._costs(entry)
            cost = sum((sums for destination, sums in costs.items() if route_of(destination) == route), NOTHING)
            until = max(until, self._meters[route].affords_at(entry.id, cost, now))
        return until

    def start(self, entry: Entry, destinations: Destinations, now: float) -> None:
        """See `Paces.start`."""
        if not self._meters and not self._throttles:
            return
        if any(self._gate_of(one) is not None for one in destinations):
            costs = self._costs(entry)
            self._under_way[entry.id] = {where: (self._start(entry, where, sums, now), now) for where, sums in costs.items()}

    def _start(self, entry: Entry, destination: str, sums: Sums, now: float) -> Sums:
        """Count *sums* towards *destination*, and return what of them is of a day's budget."""
        if (throttle := self._throttles.get(destination)) is not None:
            self._throttles[destination] = throttle.after(sums.messages, now)
        if (meter := self._meters.get(route_of(destination))) is None:
            return NOTHING
        meter.taken += 1
        meter.start(sums, now)
        if not entry.sender or not meter.limits.daily:
            return NOTHING
        meter.spend(sums, now, now)
        return sums

    def end(self, entry: Entry) -> None:
        """See `Paces.end`."""
        if not self._under_way:
            return
        for destination in self._under_way.pop(entry.id, ()):
            if (meter := self._meters.get(route_of(destination))) is not None:
                meter.taken = max(meter.taken - 1, 0)  # one that is new since then counts none of those under way

    def _costs(self, entry: Entry) -> dict[str, Sums]:
        """Return what *entry* costs now, by destination: transactions, and recipients."""
        tried = schedule.due_now(entry, self._clock())
        batches = self._table.batches((recipient.address for recipient in tried.recipients), entry)
        return {batch.destination: Sums(math.ceil(len(batch.recipients) / RECIPIENTS), len(batch.recipients)) for batch in batches}

    def came_to(self, message_id: MessageId, batch: Batch, outcomes: Mapping[str, Outcome], now: float) -> None:
        """Take note of what an attempt came to: what no next hop took is given back to the day's budget."""
        recent = self._recent.get(batch.destination)
        if recent is None:
            if len(self._recent) >= REMEMBERED:
                self._recent.clear()
            recent = self._recent[batch.destination] = Recent(now)
        recent.add(now)
        if self._under_way:
            self.give_back(message_id, batch, sum(isinstance(outcome, Delivered) for outcome in outcomes.values()), now)

    def give_back(self, message_id: MessageId, batch: Batch, taken: int, now: float) -> None:
        """Count for the day only the *taken* recipients of a message that started."""
        cost, at = self._under_way.get(message_id, {}).get(batch.destination, (NOTHING, now))
        if (meter := self._meters.get(batch.route.name)) is not None and taken < cost.recipients:
            meter.spend(Sums(0 if taken else -cost.messages, taken - cost.recipients), at, now)

    def slow_down(self, destination: str, began: float, now: float) -> Throttle | None:
        """Slow *destination* down, which asked for less in an attempt that *began* then; None when that is no news (`Throttle.heeds`)."""
        before = self._throttles.get(destination)
        if before is not None and not before.heeds(began, now):
            return None
        meter, recent = self._meters.get(route_of(destination)), self._recent.get(destination)
        observed = 0.0 if recent is None else recent.rate(now)
        made = self._throttles[destination] = cut(before, observed, math.inf if meter is None else meter.limits.rate, now)
        return made

    def recover(self, now: float) -> None:
        """Forget the limits that limit nothing any more, and say so."""
        for destination, throttle in list(self._throttles.items()):
            if throttle.over(now):
                del self._throttles[destination]
                _log.info("destination recovered", destination=destination)

    def standing(self, waiting: Iterable[Waiting], now: float) -> dict[str, Standing]:
        """Return how each route stands that has a pace, or destinations that asked for less, or mail *waiting* for either."""
        messages: dict[str, int] = {}
        since: dict[str, float] = {}
        for lane in waiting:
            for route in {route_of(one) for one in lane.destinations}:
                messages[route] = messages.get(route, 0) + lane.messages
                since[route] = min(since.get(route, math.inf), _due(lane.first))
        throttled: dict[str, int] = {}
        for destination in self._throttles:
            throttled[route_of(destination)] = throttled.get(route_of(destination), 0) + 1
        wall = self._clock()
        return {
            route: Standing(
                messages.get(route, 0), max(wall - since.get(route, wall), 0.0), self._rate(route, now), throttled.get(route, 0)
            )
            for route in {*self._meters, *messages, *throttled}
        }

    def _rate(self, route: str, now: float) -> float:
        """Return messages a second that *route* may be given now; what is slowed down at single MX is not counted."""
        meter, throttle = self._meters.get(route), self._throttles.get(f"{route}/")
        own = math.inf if meter is None else meter.limits.rate
        return own if throttle is None else min(own, throttle.rate(now))

    def spent(self) -> dict[str, Spent]:
        """Return what counts of each route's budget of a day."""
        return {route: meter.spent for route, meter in self._meters.items() if meter.limits.daily}

    def restore(self, spent: Mapping[str, Spent]) -> None:
        """Count what was *spent* before this process."""
        for route, before in spent.items():
            if route in self._meters:
                self._meters[route].spent = before


def _due(entry: Entry) -> float:
    """Return since when *entry* could have gone, in seconds since the epoch."""
    return max(entry.accepted_at, min(recipient.next_attempt for recipient in entry.recipients))
