from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from smtp_gateway.mail.encryption import Encryption
from smtp_gateway.mail.envelope import Peer
from smtp_gateway.mail.reply import Reply
from smtp_gateway.telemetry.prometheus import METRICS, PrometheusObserver, documentation

if TYPE_CHECKING:
    from smtp_gateway.telemetry.observer import Observer
    from smtp_gateway.telemetry.prometheus import Reading

PEER = Peer("192.0.2.1", "submission", login="app", identity="app-logins")


def everything(observer: Observer) -> None:
    """Let everything happen once."""
    observer.connected("submission")
    observer.authenticated("PLAIN", succeeded=True)
    observer.authenticated("LOGIN", succeeded=False)
    observer.refused("submission", "MAIL", Reply(530, "5.7.0", "TLS first"))
    observer.accepted(PEER, 3, 1000)
    observer.postponed(PEER, Reply(452, "4.3.1", "full"))
    observer.synced(2, 0.002)
    observer.attempted("default", 0.2)
    observer.delivered("default", 2, 1.5)
    observer.encrypted("default", 2, Encryption("TLSv1.3", "TLS_AES_256_GCM_SHA384", verified=True))
    observer.deferred("default", 1)
    observer.bounced("default", 1)
    observer.notified("failure", "sender")
    observer.removed()


def names(page: str) -> set[str]:
    """Return the names of the metrics on a page, as their types declare them."""
    return set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))


def test_the_page_has_what_the_table_has_and_nothing_else() -> None:
    """Both ways: no undocumented metric, and none that is documented and never exported."""
    observer = PrometheusObserver()
    observer.read(lambda: ())
    everything(observer)

    assert names(observer.page().decode()) == {metric.name for metric in METRICS}


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
        'smtp_gateway_delivered_recipients_total{route="default"} 2.0',
        'smtp_gateway_delivery_age_seconds_sum{route="default"} 1.5',
        'smtp_gateway_deferred_recipients_total{route="default"} 1.0',
        'smtp_gateway_bounced_recipients_total{route="default"} 1.0',
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
        assert metric.name.startswith("smtp_gateway_")
        assert metric.meaning.endswith(".")
        assert metric.name.endswith("_total") is (metric.kind == "counter")
    assert len({metric.name for metric in METRICS}) == len(METRICS)
