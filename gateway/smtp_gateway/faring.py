"""How destinations fare: what an attempt came to is told to whom it concerns, and who does what is decided here.

- Attempts without a session are the circuit's business (`routing.circuit`): fewer at a time, and a rest after several.
- An answer that says it was too much (`mail.throttling`) is the pace's (`smtp_gateway.pacing`): half as fast, for some minutes. It is no miss,
  also where it came instead of a greeting: who says so is there. Half as many go at a time as well, as after a miss, because some next
  hops count connections; sessions bring the number back, no faster than the pace lets them begin.
- Any other answer ends the misses.

So one of the two acts on an answer, and never both: a destination that asks for less is not given a rest, which would end in a burst.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from smtp_gateway.mail.outcome import unreached
from smtp_gateway.mail.throttling import throttling
from smtp_gateway.pacing import Pacing
from smtp_gateway.routing import circuit
from smtp_gateway.routing.circuit import Circuits
from smtp_gateway.spool import schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from smtp_gateway.config.model import Config, Smarthost
    from smtp_gateway.mail.envelope import MessageId
    from smtp_gateway.mail.outcome import Deferred, Outcome
    from smtp_gateway.rates.sharing import Share
    from smtp_gateway.routing.table import Batch
    from smtp_gateway.telemetry.observer import Observer

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chance:
    """Time and chance."""

    clock: Callable[[], float]
    """Tells seconds since the epoch."""
    ticks: Callable[[], float]
    """Tells seconds of a clock that does not go back."""
    jitter: Callable[[], float]
    """Gives a random number in [0, 1)."""


class Faring:
    """What is known of all destinations."""

    def __init__(self, config: Config, share: Share, observer: Observer, chance: Chance) -> None:
        """Begin knowing nothing; pace as *config* says for a pod with *share*."""
        self._observer = observer
        self._chance = chance
        self.circuits = Circuits()
        self._hops = _hops_of(config)
        self.pacing = Pacing(config, share, chance.clock)
        self.doubt: Callable[[str], object] = lambda _route: None
        """Told the name of a route when an attempt over it ended without a session."""

    def reconfigure(self, config: Config, share: Share) -> None:
        """Pace as *config* says. Circuits are forgotten, because destinations may stand for other next hops; `Pacing` says what it keeps."""
        self.circuits.forget()
        self._hops = _hops_of(config)
        self.pacing.reconfigure(config, share)

    def resting(self, message_id: MessageId, batch: Batch) -> Deferred | None:
        """Return what *batch* comes to while its destination rests; None when it may be tried."""
        resting = self.circuits.of(batch.destination).resting(self._chance.clock())
        if resting is not None:
            self.pacing.give_back(message_id, batch, 0, self._chance.ticks())
        return resting

    def note(self, message_id: MessageId, batch: Batch, outcomes: Mapping[str, Outcome], began: float) -> None:
        """Remember what an attempt that *began* at a tick came to, if it was with next hops that its route still leads to.

        Raises nothing: what it came to is about to be written down, and would otherwise be done again.
        """
        try:
            self._note(message_id, batch, outcomes, began)
        except Exception:  # noqa: BLE001 a circuit or a pace that is a little wrong costs less than mail that goes twice
            _log.exception("attempt not noted", message_id=message_id, destination=batch.destination)

    def _note(self, message_id: MessageId, batch: Batch, outcomes: Mapping[str, Outcome], began: float) -> None:
        self.pacing.came_to(message_id, batch, outcomes, self._chance.ticks())
        if self._hops.get(batch.route.name) != batch.route.smarthosts:
            return
        if (asked := throttling(outcomes.values())) is not None:
            self._slow_down(batch, asked, began)
        elif (missed := unreached(outcomes.values())) is not None:
            self._miss(batch, missed)
        else:
            before = self.circuits.of(batch.destination)
            self.circuits.keep(batch.destination, circuit.after_session(before))
            if before.rests:
                _log.info("destination answers", destination=batch.destination)

    def _slow_down(self, batch: Batch, asked: Deferred, began: float) -> None:
        self._observer.throttled(batch.route.name)
        now = self._chance.ticks()
        made = self.pacing.slow_down(batch.destination, began, now)
        if made is None:
            return
        self.circuits.keep(batch.destination, circuit.after_throttle(self.circuits.of(batch.destination)))
        rate = round(made.rate(now), 3)
        _log.warning(
            "destination throttled", destination=batch.destination, messages_per_second=rate, hop=asked.hop, reply=str(asked.reply)
        )

    def _miss(self, batch: Batch, missed: Deferred) -> None:
        self.doubt(batch.route.name)
        before = self.circuits.of(batch.destination)
        now, rest = self._chance.clock(), schedule.wait(batch.route.retry, before.rests + 1, self._chance.jitter())
        after = circuit.after_miss(before, missed, now, rest)
        self.circuits.keep(batch.destination, after)
        if after.rests > before.rests:
            reply = str(missed.reply)
            _log.warning("destination rests", destination=batch.destination, seconds=round(rest, 1), hop=missed.hop, reply=reply)


def _hops_of(config: Config) -> dict[str, tuple[Smarthost, ...]]:
    return {route.name: route.smarthosts for route in config.routes}
