"""The conditions about delivery: what pods say, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from smtp_gateway_operator.spec import Cause, Spec
from smtp_gateway_operator.status.certificates import certificates
from smtp_gateway_operator.status.queues import LATE, counts, moved, queues
from smtp_gateway_operator.status.reasons import Judged, Reason
from smtp_gateway_operator.status.told import Told
from smtp_gateway_operator.status.upstreams import CAUSES, upstreams
from tests.unit.operator.setting import NOW, report, upstream


def routes(*hosts: str) -> Any:
    """Return a route to the MX of one domain, and a default route over *hosts*."""
    default = {"name": "default", "smarthosts": [{"host": host} for host in hosts]}
    direct = {"name": "direct", "match": {"recipientDomains": ["example.org"]}}
    return Spec.model_validate({"hostname": "mail.example.com", "routes": [direct, default]}).routes


def told(*reports: dict[str, Any], hosts: tuple[str, ...] = ("smtp.example.net",), **changed: Any) -> Told:
    """Return what pods tell that are well but for their *reports*."""
    pods = {f"mail-{number}": report(f"mail-{number}", **{"upstreams": [upstream()]} | one) for number, one in enumerate(reports)}
    return Told(pods, routes=routes(*hosts), **changed)


def queue(**changed: Any) -> dict[str, Any]:
    """Return a report with this queue."""
    return {"queue": {"messages": 0, "held": 0, "oldest": None, "lateness": 0} | changed}


def attempts(attempted: int, deferred: int, route: str = "default") -> dict[str, Any]:
    """Return a report with these attempts."""
    return {"routes": [{"name": route, "attempted": attempted, "deferred": deferred}]}


def paced(seconds: float, route: str = "default") -> dict[str, Any]:
    """Return a report with mail that has waited for its pace for *seconds*."""
    return {"routes": [{"name": route, "attempted": 100, "deferred": 0, "paced": 7, "paced_seconds": seconds}]}


class TestUpstreams:
    """UpstreamReachable."""

    @pytest.mark.parametrize("cause", list(Cause))
    def test_each_cause_has_its_reason(self, cause: Cause) -> None:
        """The message names pod, route, upstream and reply."""
        status, reason, message = upstreams(told({}, {"upstreams": [upstream(cause=cause)]}))

        assert (status, reason) == ("False", CAUSES[cause])
        assert message == f"route default, smtp.example.net:25: 550 {cause} (seen by mail-1)"

    def test_a_cause_of_a_newer_pod_is_a_refusal(self) -> None:
        """What this operator does not know yet is told in the pod's words."""
        assert upstreams(told({"upstreams": [upstream(cause="Eclipse")]}))[:2] == ("False", Reason.REJECTED_BY_UPSTREAM)

    def test_one_trouble_of_many_pods_is_told_once(self) -> None:
        """Ten pods with the same reply are one finding."""
        message = upstreams(told(*[{"upstreams": [upstream(cause="Refused")]}] * 3)).message

        assert message == "route default, smtp.example.net:25: 550 Refused (seen by mail-0, mail-1, mail-2)"

    def test_smarthosts_are_alternatives(self) -> None:
        """A route with one that works is reached; the other is told. Without one it is cut off."""
        bad, good = upstream("a.example", cause="Timeout"), upstream("b.example")
        hosts = ("a.example", "b.example")

        assert upstreams(told({"upstreams": [bad, good]}, hosts=hosts))[:2] == ("True", Reason.PARTLY_REACHABLE)
        assert upstreams(told({"upstreams": [bad, upstream("b.example", cause="Refused")]}, hosts=hosts))[:2] == (
            "False",
            Reason.CONNECTION_TIMED_OUT,
        )

    def test_another_port_is_reached_and_told(self) -> None:
        """Nothing is wrong with the mail; the message says which port is blocked for whom, and what works instead."""
        elsewhere = upstream(alternate_port=587) | {"reply": "Connection timed out after 10 s; on port 587 it answers"}

        assert upstreams(told({}, {"upstreams": [elsewhere]})) == (
            "True",
            Reason.ALTERNATE_PORT,
            (
                "every pod reaches every smarthost, not all of them on their first port: route default, smtp.example.net:25: "
                "Connection timed out after 10 s; on port 587 it answers (seen by mail-1)"
            ),
        )

    def test_what_was_not_tried_is_unknown(self) -> None:
        """A smarthost without a probe, and one whose other half failed, may still work."""
        hosts = ("a.example", "b.example")

        assert upstreams(told({"upstreams": []}))[:2] == ("Unknown", Reason.NOT_PROBED)
        assert upstreams(told({"upstreams": [upstream(reachable=None)]}))[:2] == ("Unknown", Reason.NOT_PROBED)
        assert upstreams(told({"upstreams": [upstream("a.example", cause="Refused")]}, hosts=hosts))[1] == Reason.NOT_PROBED

    def test_two_accounts_at_one_host_are_two_smarthosts(self) -> None:
        """Either may be refused; the sentence names the Secret that has to be mended."""
        hops = [{"host": "smtp.example.net", "credentialsRef": {"name": name}} for name in ("first", "second")]
        spec = Spec.model_validate({"hostname": "mail.example.com", "routes": [{"name": "default", "smarthosts": hops}]})
        refused = upstream(credentials="first", cause="AuthenticationRejected")

        def judged(*probes: dict[str, Any]) -> Judged:
            return upstreams(Told({"mail-0": report("mail-0", upstreams=list(probes))}, routes=spec.routes))

        assert judged(refused, upstream(credentials="second"))[:2] == ("True", Reason.PARTLY_REACHABLE)
        assert judged(refused)[:2] == ("Unknown", Reason.NOT_PROBED)
        status, reason, message = judged(refused, refused | {"credentials": "second"})
        assert (status, reason) == ("False", Reason.AUTHENTICATION_REJECTED)
        assert message.split("; ") == [
            f"route default, smtp.example.net:25 with Secret {name}: 550 AuthenticationRejected (seen by mail-0)"
            for name in ("first", "second")
        ]

    def test_probes_of_what_is_not_wanted_any_more_do_not_count(self) -> None:
        """A pod that still runs the configuration before says nothing about the new upstream."""
        assert upstreams(told({"upstreams": [upstream("old.example", cause="Refused")]}))[:2] == ("Unknown", Reason.NOT_PROBED)

    def test_mx_is_not_judged(self) -> None:
        """Without a smarthost nothing can be wrong here, whoever answers."""
        assert upstreams(told(hosts=(), silent={"mail-0": "no"}))[:2] == ("True", Reason.NO_SMARTHOSTS)

    def test_a_blocked_way_to_mx_is_told_and_not_counted(self) -> None:
        """With smarthosts beside and without; who has no route to MX cannot miss it, and a smarthost that is away is worse."""
        blocked = {"port_25_blocked": True}
        only_relayed = Spec.model_validate(
            {"hostname": "mail.example.com", "routes": [{"name": "default", "smarthosts": [{"host": "smtp.example.net"}]}]}
        ).routes

        status, reason, message = upstreams(told({}, blocked))
        assert (status, reason) == ("True", Reason.PORT_25_BLOCKED_TO_MX)
        assert message.endswith("(seen by mail-1)")
        assert upstreams(told(blocked, hosts=()))[:2] == ("True", Reason.PORT_25_BLOCKED_TO_MX)
        assert upstreams(replace(told(blocked), routes=only_relayed))[:2] == ("True", Reason.REACHABLE)
        assert upstreams(told(blocked | {"upstreams": [upstream(cause="Refused")]}))[:2] == ("False", Reason.CONNECTION_REFUSED)

    def test_nobody_to_ask(self) -> None:
        """No pods, silent pods, and a resource that cannot be understood are each told."""
        assert upstreams(told())[:2] == ("Unknown", Reason.NO_PODS)
        assert upstreams(told({}, silent={"mail-1": "no"}))[:2] == ("Unknown", Reason.NO_REPORT)
        assert upstreams(Told(routes=None))[:2] == ("Unknown", Reason.CONFIG_INVALID)


class TestQueues:
    """QueueHealthy."""

    @pytest.mark.parametrize(
        ("reports", "before", "status", "reason"),
        [
            ([{}], None, "True", Reason.ON_TIME),
            ([queue(messages=100_000, oldest=0.0)], None, "True", Reason.ON_TIME),  # old and many, and none of it due
            ([{}, queue(lateness=LATE)], None, "True", Reason.ON_TIME),
            ([{}, queue(lateness=LATE + 1)], None, "False", Reason.OVERDUE),
            ([queue(lateness=LATE / 2 + 1)], Reason.OVERDUE, "False", Reason.OVERDUE),
            ([queue(lateness=LATE / 2)], Reason.OVERDUE, "True", Reason.ON_TIME),
            ([attempts(19, 19)], None, "True", Reason.ON_TIME),
            ([attempts(20, 10)], None, "True", Reason.ON_TIME),
            ([attempts(20, 11)], None, "False", Reason.DEFERRALS_HIGH),
            ([attempts(10, 10), attempts(10, 1)], None, "False", Reason.DEFERRALS_HIGH),  # a route is judged over all pods
            ([attempts(20, 6)], Reason.DEFERRALS_HIGH, "False", Reason.DEFERRALS_HIGH),
            ([attempts(20, 5)], Reason.DEFERRALS_HIGH, "True", Reason.ON_TIME),
            ([attempts(9, 9)], Reason.DEFERRALS_HIGH, "True", Reason.ON_TIME),
            ([attempts(20, 20, "direct")], None, "True", Reason.DEFERRALS_TO_MX),
            ([paced(LATE)], None, "True", Reason.ON_TIME),
            ([{}, paced(LATE + 1)], None, "True", Reason.PACED),
            ([paced(LATE / 2 + 1)], Reason.PACED, "True", Reason.PACED),
            ([paced(LATE / 2)], Reason.PACED, "True", Reason.ON_TIME),
            ([queue(lateness=LATE + 1) | paced(LATE + 1)], None, "False", Reason.OVERDUE),  # other mail is late all the same
            ([{"spool_problem": "the volume is full"}], None, "False", Reason.SPOOL_UNUSABLE),
            ([], None, "Unknown", Reason.NO_PODS),
        ],
    )
    def test_it_is_judged_by_lateness_and_deferrals(
        self, reports: list[dict[str, Any]], before: Reason | None, status: str, reason: Reason
    ) -> None:
        """Mail that is due and late, and routes that mostly put off; what is told already has to be down to half."""
        assert queues(told(*reports), {"reason": before} if before else {})[:2] == (status, reason)

    def test_messages_do_not_change_with_every_mail(self) -> None:
        """Limits are told, and not the numbers of the moment."""
        assert queues(told(queue(lateness=400)), {}) == queues(told(queue(lateness=4000)), {})
        assert queues(told(attempts(100, 60)), {}) == queues(told(attempts(30, 30)), {})
        assert queues(told(paced(400)), {}) == queues(told(paced(4000)), {})

    def test_mail_that_waits_for_its_pace_is_told_by_its_route(self) -> None:
        """And the message says what it waits for."""
        message = queues(told(paced(LATE + 1), paced(10, "direct")), {}).message

        assert message == (
            "mail waits for the pace of its route, or for a next hop that asked for less, on route default; "
            "it is not late, and leaves as fast as that allows"
        )

    @pytest.mark.parametrize(
        ("before", "after", "worth"),
        [
            (None, {"messages": 0}, True),
            ({"messages": 0}, {"messages": 0}, False),
            ({"messages": 0}, {"messages": 1}, True),
            ({"messages": 100}, {"messages": 110}, False),
            ({"messages": 100}, {"messages": 111}, True),
            ({"messages": 100}, {"messages": 0}, True),
            ({"messages": 5}, {"messages": 5, "oldestMessageTime": "2026-03-01T12:00:00Z"}, True),
            (
                {"messages": 5, "oldestMessageTime": "2026-03-01T11:59:00Z"},
                {"messages": 5, "oldestMessageTime": "2026-03-01T12:00:00Z"},
                False,
            ),
            (
                {"messages": 5, "oldestMessageTime": "2026-03-01T11:00:00Z"},
                {"messages": 5, "oldestMessageTime": "2026-03-01T12:00:00Z"},
                True,
            ),
            (
                {"messages": 5, "oldestMessageTime": "2026-02-28T12:00:00Z"},
                {"messages": 5, "oldestMessageTime": "2026-02-28T13:00:00Z"},
                False,
            ),
        ],
    )
    def test_a_tenth_is_worth_a_write(self, before: dict[str, Any] | None, after: dict[str, Any], *, worth: bool) -> None:
        """Counts and ages count by their part: an hour is much of two hours and little of a day."""
        assert moved(before, after, NOW) is worth

    def test_counts_are_of_all_pods_or_none(self) -> None:
        """Messages are summed, the oldest is the oldest of all; with a silent pod there is no sum."""
        both = told(queue(messages=2, oldest=NOW.timestamp()), queue(messages=3, oldest=NOW.timestamp() - 5))

        assert counts(both) == {"messages": 5, "oldestMessageTime": "2026-03-01T11:59:55Z"}
        assert counts(told({}, silent={"mail-1": "no"})) is None


class TestCertificates:
    """CertificateValid."""

    @pytest.mark.parametrize(
        ("days", "issued", "status", "reason"),
        [
            (31, False, "True", Reason.VALID),
            (29.9, False, "True", Reason.EXPIRES_WITHIN_A_MONTH),
            (29.9, True, "True", Reason.VALID),
            (6.9, False, "True", Reason.EXPIRES_WITHIN_A_WEEK),
            (6.9, True, "True", Reason.EXPIRES_WITHIN_A_WEEK),
            (0.9, True, "True", Reason.EXPIRES_WITHIN_A_DAY),
            (0, True, "False", Reason.EXPIRED),
        ],
    )
    def test_the_end_comes_in_steps(self, days: float, issued: bool, status: str, reason: Reason) -> None:  # noqa: FBT001 one column of a table
        """30, 7 and 1 days before; the first not for a pair that is the operator's to renew."""
        end = {"certificate": {"not_after": (NOW + timedelta(days=days)).timestamp()}}

        assert certificates(told({}, end, issued=issued), NOW)[:2] == (status, reason)

    def test_a_pair_that_cannot_be_used_is_told(self) -> None:
        """What is in force still works, but the change did not get through."""
        status, reason, message = certificates(told({"certificate": {"not_after": 9e9, "problem": "the key is another's"}}), NOW)

        assert (status, reason) == ("False", Reason.NEW_PAIR_UNUSABLE)
        assert "mail-0: the key is another's" in message

    def test_what_is_not_known(self) -> None:
        """A pod that cannot say when its certificate ends is not vouched for."""
        assert certificates(told({"certificate": {"not_after": None}}), NOW)[0] == "Unknown"
        assert certificates(told(), NOW)[:2] == ("Unknown", Reason.NO_PODS)
