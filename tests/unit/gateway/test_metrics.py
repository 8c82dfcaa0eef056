from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from smtp_gateway.mail.encryption import Encryption
from smtp_gateway.mail.envelope import Peer
from smtp_gateway.mail.reply import Reply
from smtp_gateway.telemetry.bounds import IDLE, PAIRS
from smtp_gateway.telemetry.expected import Names, Words
from smtp_gateway.telemetry.prometheus import PrometheusObserver
from smtp_gateway.telemetry.table import METRICS, documentation

if TYPE_CHECKING:
    from smtp_gateway.telemetry.observer import Observer
    from smtp_gateway.telemetry.prometheus import Reading

NAMES = Names(
    listeners=("submission",),
    routes=("default", "old"),
    identities=frozenset({"app"}),
    arrivals=(("submission", "app"),),
    departures=(("default", "app"), ("old", "app")),
)
PEER = Peer("192.0.2.1", "submission", login="app", identity="app-logins")


def everything(observer: Observer) -> None:
    """Let everything happen once."""
    observer.connected("submission")
    observer.authenticated("PLAIN", succeeded=True)
    observer.authenticated("LOGIN", succeeded=False)
    observer.refused("submission", "MAIL", Reply(530, "5.7.0", "TLS first"))
    observer.shook_hands("submission", "TLSv1.3")
    observer.accepted(PEER, 3, 1000, 0.004)
    observer.postponed(PEER, Reply(452, "4.3.1", "full"))
    observer.synced(2, 0.002)
    observer.attempted("default", 0.2, again=True)
    observer.delivered("default", "app-logins", 2, 1.5)
    observer.encrypted("default", 2, Encryption("TLSv1.3", "TLS_AES_256_GCM_SHA384", verified=True))
    observer.deferred("default", "app-logins", 1)
    observer.bounced("default", "", 1)
    observer.notified("failure", "sender")
    observer.removed()


def names(page: str) -> set[str]:
    """Return the names of the metrics on a page, as their types declare them."""
    return set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))


async def test_the_page_has_what_the_table_has_and_nothing_else() -> None:
    """Both ways: no undocumented metric, and none that is documented and never exported."""
    observer = PrometheusObserver()
    observer.read(lambda: ())
    everything(observer)

    assert names((await observer.exposition()).decode()) == {metric.name for metric in METRICS}


def test_each_observation_is_counted_where_it_belongs() -> None:
    """Labels are listeners, Secrets, routes, mechanisms and codes."""
    observer = PrometheusObserver()
    everything(observer)
    page = observer.page().decode()

    for line in (
        'smtp_gateway_sessions_total{listener="submission"} 1.0',
        'smtp_gateway_open_sessions{listener="submission"} 1.0',
        'smtp_gateway_authentications_total{mechanism="PLAIN",result="succeeded"} 1.0',
        'smtp_gateway_authentications_total{mechanism="LOGIN",result="failed"} 1.0',
        'smtp_gateway_refusals_total{code="530",command="MAIL",listener="submission"} 1.0',
        'smtp_gateway_accepted_messages_total{identity="app-logins",listener="submission"} 1.0',
        'smtp_gateway_accepted_recipients_total{identity="app-logins",listener="submission"} 3.0',
        'smtp_gateway_accepted_bytes_total{identity="app-logins",listener="submission"} 1000.0',
        'smtp_gateway_postponed_messages_total{code="452",listener="submission"} 1.0',
        "smtp_gateway_spool_synced_messages_total 2.0",
        "smtp_gateway_spool_sync_seconds_count 1.0",
        'smtp_gateway_attempt_seconds_sum{route="default"} 0.2',
        'smtp_gateway_delivered_recipients_total{identity="app-logins",route="default"} 2.0',
        'smtp_gateway_delivery_age_seconds_sum{route="default"} 1.5',
        'smtp_gateway_deferred_recipients_total{identity="app-logins",route="default"} 1.0',
        'smtp_gateway_bounced_recipients_total{identity="gateway/notices",route="default"} 1.0',
        'smtp_gateway_retries_total{route="default"} 1.0',
        'smtp_gateway_accept_seconds_sum{listener="submission"} 0.004',
        'smtp_gateway_tls_sessions_total{listener="submission",version="TLSv1.3"} 1.0',
        'smtp_gateway_notices_total{fate="sender",kind="failure"} 1.0',
        "smtp_gateway_removed_messages_total 1.0",
    ):
        assert line in page.splitlines()


def test_a_session_that_ended_is_open_no_more() -> None:
    """The gauge falls, the counter stays."""
    observer = PrometheusObserver()
    observer.connected("submission")
    observer.disconnected("submission")
    page = observer.page().decode().splitlines()

    assert 'smtp_gateway_open_sessions{listener="submission"} 0.0' in page
    assert 'smtp_gateway_sessions_total{listener="submission"} 1.0' in page


def test_gauges_are_read_at_each_scrape() -> None:
    """They say what their sources say at that moment, and nothing about what is there no more."""
    observer = PrometheusObserver()
    readings: list[Reading] = [("queue_messages", (), 3), ("upstream_up", ("default", "mx.example", "25", ""), False)]
    observer.read(lambda: readings)
    page = observer.page().decode().splitlines()
    assert "smtp_gateway_queue_messages 3.0" in page
    assert 'smtp_gateway_upstream_up{credentials="",host="mx.example",port="25",route="default"} 0.0' in page

    readings[:] = [("queue_messages", (), 7)]
    page = observer.page().decode().splitlines()
    assert "smtp_gateway_queue_messages 7.0" in page
    assert not [line for line in page if line.startswith("smtp_gateway_upstream_up{")]


def series(observer: PrometheusObserver, name: str) -> dict[str, float]:
    """Return the samples called *name*, by their labels as they stand."""
    found = re.findall(rf"^smtp_gateway_{name}\{{(.*)\}} (\S+)$", observer.page().decode(), re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_what_is_known_beforehand_is_there_at_nothing() -> None:
    """Prometheus' increase() does not see the event that makes a series."""
    observer = PrometheusObserver(Words(versions=("TLSv1.2", "TLSv1.3"), mechanisms=("PLAIN",), notices=(("delay", "sender"),)))
    observer.expect(NAMES)

    for name in ("sessions_total", "tls_sessions_total", "accept_seconds_count", "accepted_messages_total"):
        assert set(series(observer, name).values()) == {0.0}
    for name in ("delivered_recipients_total", "bounced_recipients_total", "retries_total", "attempt_seconds_count", "throttles_total"):
        assert set(series(observer, name).values()) == {0.0}
    assert series(observer, "authentications_total") == {f'mechanism="PLAIN",result="{one}"': 0.0 for one in ("succeeded", "failed")}
    assert series(observer, "notices_total") == {'fate="sender",kind="delay"': 0.0}
    assert len(series(observer, "encrypted_recipients_total")) == 2 * 4


def test_identities_beyond_the_bound_are_counted_together() -> None:
    """However many there are, the series of each metric are bounded, and none of the mail is missing."""
    observer = PrometheusObserver()
    many = [f"app-{number}" for number in range(PAIRS + 50)]
    observer.expect(replace(NAMES, identities=frozenset(many), arrivals=(), departures=tuple(("default", one) for one in many)))
    assert series(observer, "delivered_recipients_total") == {'identity="other",route="default"': 0.0}

    for one in many:
        observer.delivered("default", one, 1, 1.0)
        observer.accepted(replace(PEER, identity=one), 1, 1000, 0.1)
    for name in ("delivered_recipients_total", "accepted_messages_total"):
        found = series(observer, name)
        assert sum(found.values()) == len(many)
        assert len([value for value in found.values() if value == 1.0]) == PAIRS
        assert max(found.values()) == 50


def test_there_is_room_for_others_where_some_have_left() -> None:
    """Whoever was counted with the others has series of their own from then on."""
    now = [0.0]
    observer = PrometheusObserver(clock=lambda: now[0])
    many = [f"app-{number}" for number in range(PAIRS)]
    observer.expect(replace(NAMES, identities=frozenset(many), departures=tuple(("default", one) for one in many)))
    observer.delivered("default", "late", 1, 1.0)
    observer.expect(replace(NAMES, identities=frozenset({"late"}), departures=(("default", "late"),)))
    for seconds in (0, IDLE):
        now[0] = seconds
        observer.page()
    observer.delivered("default", "late", 1, 1.0)

    found = series(observer, "delivered_recipients_total")
    assert found['identity="late",route="default"'] == found['identity="other",route="default"'] == 1.0
    assert len(found) == 2


def test_what_left_the_configuration_goes_when_it_has_idled() -> None:
    """Series of a route and of a login stay for as long as something is counted and an hour more; what comes later begins at nothing."""
    now = [0.0]
    observer = PrometheusObserver(Words(versions=("TLSv1.3",)), lambda: now[0])
    observer.expect(NAMES)
    observer.delivered("default", "app", 1, 1.0)
    observer.delivered("old", "app", 1, 1.0)
    observer.expect(replace(NAMES, routes=("default",), identities=frozenset(), arrivals=(), departures=()))
    observer.page()
    now[0] = IDLE - 1
    observer.delivered("default", "app", 1, 1.0)
    assert len(series(observer, "delivered_recipients_total")) == 2

    now[0] = IDLE
    assert series(observer, "delivered_recipients_total") == {'identity="app",route="default"': 2.0}
    assert series(observer, "attempt_seconds_count") == {'route="default"': 0.0}
    assert series(observer, "encrypted_recipients_total") == {
        f'route="default",verified="{one}",version="TLSv1.3"': 0.0 for one in ("true", "false")
    }
    now[0] = 2 * IDLE - 1
    assert series(observer, "delivered_recipients_total") == {}
    assert series(observer, "accepted_messages_total") == {}

    observer.delivered("default", "app", 1, 1.0)
    assert series(observer, "delivered_recipients_total") == {'identity="app",route="default"': 1.0}


def test_two_observers_do_not_share_their_counts() -> None:
    """The registry is the observer's own."""
    one, other = PrometheusObserver(), PrometheusObserver()
    one.synced(1, 0.1)

    assert "smtp_gateway_spool_synced_messages_total 0.0" in other.page().decode().splitlines()


def test_the_documentation_is_what_the_table_prints() -> None:
    """`docs/metrics.md` is never edited by hand."""
    assert (Path(__file__).parents[3] / "docs" / "metrics.md").read_text("utf-8") == documentation()


def test_every_row_says_something() -> None:
    """Names follow Prometheus' conventions: a prefix, `_total` for counters and only for them."""
    for metric in METRICS:
        assert metric.name.startswith(("smtp_gateway_", "process_"))
        assert metric.meaning.endswith(".")
        assert metric.name.endswith("_total") is (metric.kind == "counter")
    assert len({metric.name for metric in METRICS}) == len(METRICS)
