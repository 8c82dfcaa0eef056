"""Properties of the status over whatever pods may say: it does not flap, its times tell the truth, and every word is explained."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from smtp_gateway.config.observed import Status
from smtp_gateway_operator.open_relay import Assessment, Finding
from smtp_gateway_operator.spec import Cause, PodReport, Risk, Spec
from smtp_gateway_operator.status.catalogue import CATALOGUE
from smtp_gateway_operator.status.conditions import Findings, Problem, status_of
from smtp_gateway_operator.status.reasons import CONFIG_VALID, OPEN_RELAY_RISK, PROGRESSING, READY, REFERENCES_RESOLVED, Reason
from smtp_gateway_operator.status.rollout import Rollout
from smtp_gateway_operator.status.told import Told, heard
from smtp_gateway_operator.status.transitions import transitions
from tests.unit.operator.setting import KEY, NOW, report, upstream

ROUTED = Spec.model_validate(
    {
        "hostname": "mail.example.com",
        "routes": [
            {"name": "direct", "match": {"recipientDomains": ["example.org"]}},
            {"name": "default", "smarthosts": [{"host": "a.example"}, {"host": "b.example"}]},
        ],
    }
)
PODS = ("mail-0", "mail-1")
STEPS = [(entry.condition, entry.status, entry.reason) for entry in CATALOGUE]

probes = st.builds(
    lambda host, cause, at: upstream(host, cause=cause, at=at, reachable=None if at is None else not cause),
    st.sampled_from(["a.example", "b.example", "gone.example"]),
    st.sampled_from(["", *Cause, "Eclipse"]),
    st.sampled_from([None, 1.0, 2.0, 3.0]),
)
queues = st.fixed_dictionaries(
    {
        "messages": st.integers(0, 1000),
        "held": st.just(0),
        "oldest": st.none() | st.floats(0, NOW.timestamp()),
        "lateness": st.sampled_from([0.0, 149.0, 151.0, 299.0, 301.0]),
    }
)
attempts = st.builds(
    lambda name, attempted, part: {"name": name, "attempted": attempted, "deferred": attempted * part // 4},
    st.sampled_from(["direct", "default", "gone"]),
    st.sampled_from([0, 9, 10, 19, 20, 1000]),
    st.integers(0, 4),
)
said = st.fixed_dictionaries(
    {
        "config_hash": st.sampled_from(["one", "two"]),
        "config_problem": st.sampled_from(["", "it does not add up"]),
        "spool_problem": st.sampled_from(["", "", "", "the volume is full"]),
        "queue": queues,
        "routes": st.lists(attempts, max_size=2),
        "upstreams": st.lists(probes, max_size=3),
        "certificate": st.fixed_dictionaries(
            {
                "not_after": st.none()
                | st.sampled_from([0.5, 1, 6, 8, 29, 31, 90]).map(lambda days: (NOW + timedelta(days=days)).timestamp()),
                "problem": st.sampled_from(["", "", "the key is another's"]),
            }
        ),
    }
)


@st.composite
def tellings(draw: st.DrawFn) -> Told:
    """Return what some pods may tell."""
    answers = {pod: draw(st.none() | said) for pod in draw(st.sampled_from([(), PODS[:1], PODS]))}
    reports: dict[str, PodReport] = {pod: report(pod, **answer) for pod, answer in answers.items() if answer is not None}
    return Told(
        reports=reports,
        silent={pod: "connection refused" for pod in answers if pod not in reports},
        routes=draw(st.sampled_from([ROUTED.routes, ROUTED.routes[:1], None])),
        issued=draw(st.booleans()),
        config_hash=draw(st.sampled_from(["", "one"])),
        waited=draw(st.sampled_from([0.0, 20.0, 200.0])),
    )


rollouts = st.sampled_from(
    [
        Rollout(0, settled=True),
        Rollout(2, pods=2, ready=2, settled=True),
        Rollout(2, pods=2, ready=1, troubles=("mail-1: Error",)),
        Rollout(2, pods=2, ready=1, troubles=("mail-1: Error",), stalls_at=NOW),
        Rollout(1, pods=2, ready=1, manned=True, draining=("mail-1",)),
    ]
)
problems = st.sampled_from(
    [
        None,
        None,
        Problem(CONFIG_VALID, Reason.INVALID, "it is wrong"),
        Problem(REFERENCES_RESOLVED, Reason.SECRET_NOT_FOUND, "Secret app not found"),
        Problem(PROGRESSING, Reason.OWNERSHIP_CONFLICT, "Service mail exists"),
    ]
)
relayings = st.sampled_from(
    [
        Assessment(),
        Assessment(withheld=(Finding("relay", Risk.SOURCE_NAT, "it is hidden"), Finding("relay", Risk.WIDE_NETWORK, "it is wide"))),
        Assessment(acknowledged=(Finding("relay", Risk.CLUSTER_ADDRESSES, "it holds a node"),)),
        Assessment(unchecked=("relay",)),
        None,
    ]
)
findings = st.builds(Findings, st.just(3), rollouts, problems, tellings(), relayings)


def after(found: Findings, previous: dict[str, Any] | None = None, seconds: float = 0) -> dict[str, Any]:
    """Return the status after *found*."""
    return status_of(KEY, ROUTED.listeners, found, previous or {}, NOW + timedelta(seconds=seconds))


@given(findings, findings)
def test_equal_words_give_an_equal_status(first: Findings, second: Findings) -> None:
    """Whatever was before, judging the same words again changes nothing, times included, and is worth no Event."""
    status = after(second, after(first), 15)

    again = after(second, status, 30)

    assert again == status
    assert transitions(status, again) == ()
    assert Status.model_validate(status)


@given(findings, findings)
def test_times_move_exactly_with_the_status(first: Findings, second: Findings) -> None:
    """A condition's lastTransitionTime is that of the last flip of its status, whatever reasons and messages do."""
    old = {one["type"]: one for one in after(first)["conditions"]}
    new = {one["type"]: one for one in after(second, after(first), 60)["conditions"]}

    for name, condition in new.items():
        assert (condition["lastTransitionTime"] != old[name]["lastTransitionTime"]) == (condition["status"] != old[name]["status"])


@given(findings)
def test_ready_is_never_better_than_the_rest(found: Findings) -> None:
    """Ready is True only where nothing is wrong or Unknown, but for a gateway that should have no pods; a scale-in may still be waiting."""
    conditions = {one["type"]: one["status"] for one in after(found)["conditions"]}

    if conditions.pop(READY) == "True" and found.rollout.wanted:
        assert conditions.pop(PROGRESSING) == str(bool(found.rollout.draining))
        assert conditions.pop(OPEN_RELAY_RISK) == "False"
        assert set(conditions.values()) == {"True"}


@given(findings)
def test_every_reason_is_explained(found: Findings) -> None:
    """Each condition has a status and reason that docs/operations.md has a row for; Ready may have another condition's, turned over if need be."""
    for one in after(found)["conditions"]:
        known = [(status, reason) for condition, status, reason in STEPS if one["type"] in {condition, READY}]
        turned = [("False", reason) for condition, status, reason in STEPS if (condition, status) == (OPEN_RELAY_RISK, "True")]
        assert (one["status"], one["reason"]) in known + (turned if one["type"] == READY else [])


@given(st.lists(st.booleans(), max_size=20))
def test_a_reachable_hop_is_doubted_once_at_most(outcomes: list[bool]) -> None:
    """After any row of probes, what counts is True exactly when one of the last two, or both, got through, and False from the start on."""
    found = None
    for number, good in enumerate(outcomes):
        probe = upstream(cause="" if good else "Refused", at=number)
        found = heard(found, report("mail-0", upstreams=[probe]), NOW + timedelta(seconds=15 * number))
    if found is not None:
        assert found.report.upstreams[0].reachable is any(outcomes[-2:])
