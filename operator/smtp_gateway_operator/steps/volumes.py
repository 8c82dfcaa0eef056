"""What volumes say about the mail on them, by annotations of their claims: without a pod, and without the gateway, nobody else could.

`messages` is the last known count, absent when no pod ever told one. `drained` is "true" only on the volume of a pod that took no more
mail and had none left when it was let go, damaged mail that was moved aside included, and "unknown" on all others: unknown may hold mail. It becomes "true" before the StatefulSet
shrinks, and "unknown" before it grows, so that an operator that dies in between leaves nothing untrue. What a smaller fleet left stays
as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.names import DRAINED_ANNOTATION, LET_GO_ANNOTATION, MESSAGES_ANNOTATION, ordinal, volume_ordinal
from smtp_gateway_operator.steps.scaling import is_empty

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from smtp_gateway_operator.spec import PodReport

    Claims = Mapping[int, Mapping[str, Any]]
    """Volume claims by ordinal."""

SELDOM = timedelta(seconds=60)
"""Between two writes of a count."""

DRAINED = "true"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Counted:
    """What is known of the pods' queues now, by ordinal."""

    messages: Mapping[int, int]
    empty: Collection[int] = ()
    """Those that drain and have nothing left in their queue."""
    damaged: Collection[int] = ()
    """Those with mail that was moved aside: nothing to wait for, and nothing to throw away unseen."""


def counted(gateway: str, reports: Mapping[str, PodReport], config_hash: str) -> Counted:
    """Return what pods say by *reports*, all of just now; pods beyond those that serve drain by the configuration of *config_hash*."""
    found = {ordinal(gateway, pod): report for pod, report in reports.items()}
    known = {number: report for number, report in found.items() if number is not None}
    empty = frozenset(number for number, report in known.items() if is_empty(report, config_hash))
    damaged = frozenset(number for number, report in known.items() if report.queue.damaged)
    return Counted({number: report.queue.messages for number, report in known.items()}, empty, damaged)


@dataclass(frozen=True, slots=True)
class Asleep:
    """Mail on volumes without a pod. Volumes that were drained are left out."""

    counted: int = 0
    """Volumes with a count."""
    messages: int = 0
    """By the last known counts."""
    uncounted: tuple[str, ...] = ()
    """Volumes that may hold mail and never had a count."""

    @property
    def sentence(self) -> str:
        """Say how much mail sleeps; empty when none can."""
        counted = f"volumes without a pod hold {self.messages} messages, by their last count"
        uncounted = f"nobody knows what is on {', '.join(self.uncounted)}"
        return "; ".join([*([counted] if self.counted else []), *([uncounted] if self.uncounted else [])])


def last_count(claim: Mapping[str, Any]) -> int | None:
    """Return how many messages the queue on a claim's volume held when that was last known; None when it never was."""
    said = _said(claim, MESSAGES_ANNOTATION) or ""
    return int(said) if said.isdecimal() and said.isascii() else None


def claims_by_ordinal(gateway: str, claims: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return the claims of the gateway's StatefulSet by their ordinals."""
    found = ((volume_ordinal(gateway, claim["metadata"]["name"]), claim) for claim in claims)
    return {number: claim for number, claim in found if number is not None}


def unused(claims: Claims, ordinals: Iterable[int]) -> frozenset[int]:
    """Return which of *ordinals* never had a volume, so that there is nothing that could hold mail."""
    return frozenset(number for number in ordinals if number not in claims or _is_pending(claims[number]))


def let_go(claims: Claims, ordinals: Iterable[int]) -> frozenset[int]:
    """Return which of *ordinals* somebody has let go: they are waited for no longer, and nobody says that they have no mail."""
    return frozenset(number for number in ordinals if number in claims and _said(claims[number], LET_GO_ANNOTATION) == "true")


def taken_back(claims: Claims, wanted: int) -> dict[int, dict[str, None]]:
    """Return the annotations to remove, by ordinal, in a fleet that should be *wanted* pods.

    Who serves is not let go, or would not be waited for the next time.
    """
    return {
        number: {LET_GO_ANNOTATION: None} for number, claim in sorted(claims.items()) if number < wanted and _said(claim, LET_GO_ANNOTATION)
    }


def before_step(claims: Claims, sizes: tuple[int, int], counted: Counted) -> dict[int, dict[str, str]]:
    """Return the annotations to write, by ordinal, before the StatefulSet goes from the first of *sizes* to the second."""
    size, following = sizes
    staying = {number: {DRAINED_ANNOTATION: UNKNOWN} for number in claims if number < following}
    going = {number: _annotations(number, counted) for number in claims if following <= number < size}
    return _changes(claims, staying | going)


def after_look(claims: Claims, size: int, counted: Counted, recent: Collection[int]) -> dict[int, dict[str, str]]:
    """Return the annotations to write, by ordinal, after a look at the pods of a StatefulSet of *size*.

    *recent* are the volumes whose count was written within `SELDOM`.
    """
    never_empty = Counted(counted.messages)
    return _changes(claims, {number: _annotations(number, never_empty) for number in claims if number < size and number not in recent})


def asleep(claims: Claims, size: int) -> Asleep:
    """Return how much mail is on the volumes beyond a StatefulSet of *size*."""
    without_pod = [claim for number, claim in sorted(claims.items()) if number >= size and not _is_pending(claim)]
    undrained = [claim for claim in without_pod if _said(claim, DRAINED_ANNOTATION) != DRAINED]
    counts = [count for count in map(last_count, undrained) if count is not None]
    return Asleep(len(counts), sum(counts), tuple(claim["metadata"]["name"] for claim in undrained if last_count(claim) is None))


def _annotations(number: int, counted: Counted) -> dict[str, str]:
    known = {MESSAGES_ANNOTATION: str(counted.messages[number])} if number in counted.messages else {}
    return known | {DRAINED_ANNOTATION: DRAINED if number in counted.empty and number not in counted.damaged else UNKNOWN}


def _changes(claims: Claims, wanted: Mapping[int, dict[str, str]]) -> dict[int, dict[str, str]]:
    changes = {number: {key: value for key, value in one.items() if _said(claims[number], key) != value} for number, one in wanted.items()}
    return {number: change for number, change in sorted(changes.items()) if change}


def _said(claim: Mapping[str, Any], annotation: str) -> str | None:
    said: str | None = (claim["metadata"].get("annotations") or {}).get(annotation)
    return said


def _is_pending(claim: Mapping[str, Any]) -> bool:
    return bool((claim.get("status") or {}).get("phase") == "Pending")
