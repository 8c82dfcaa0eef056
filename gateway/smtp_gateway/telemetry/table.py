"""The table of metrics: every one of them, with its labels and with how many series it can have. `docs/metrics.md` is printed from it.

Labels are names that the configuration gives (listeners, routes, smarthosts, Secrets) or words of the protocol, never anything a client
sends.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum

from smtp_gateway.telemetry.bounds import IDLE, OTHER, PAIRS

# Where the buckets lie is argued from decision 0043: 1st percentile, median and 99th percentile of a machine that was busy with other work.
SYNC_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Seconds. 0.5, 1.7 and 49 ms for single messages, 1.2, 5.6 and 54 ms for groups; above 0.1 s senders notice, and what takes seconds is a
volume that hangs."""
ACCEPT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
"""Seconds. 0.6, 2.7 and 67 ms for a client alone, 2.8, 10 and 142 ms for twenty, 6, 29 and 105 ms for messages of 1 MB. Clients wait for
ten minutes (RFC 5321 section 4.5.3.2.6), and the programs behind them for far less than 30 s."""
ATTEMPT_BUCKETS = (0.0025, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds. 0.5, 0.7 and 23 ms to a hop next door, 2, 22 and 79 ms while twenty go there at once; a provider takes what its distance, TLS and
filters take, and 30 to 300 s are the time-outs of phases (RFC 5321 section 4.5.3.2)."""
AGE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0, 86400.0, 432000.0)
"""Seconds. 3, 8 and 96 ms for a client alone, 12, 49 and 307 ms for twenty. From 30 s on it is retries that count: the first comes then, and
after five days mail is returned."""


class Kind(StrEnum):
    """The types of Prometheus' data model that are used here."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the documentation, and one metric."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    bound: str
    """How many series there are at most, in the words of the page's head."""
    buckets: tuple[float, ...] = ()


PREFIX = "smtp_gateway_"
"""Where the names of the gateway's own metrics begin."""
_TOLD: tuple[tuple[str, Kind, str, str, str, tuple[float, ...]], ...] = (
    ("build_info", Kind.GAUGE, "version", "Always 1; the label says which version runs.", "1", ()),
    ("start_time_seconds", Kind.GAUGE, "", "When the process started, in seconds since the epoch.", "1", ()),
    (
        "refused_connections_total",
        Kind.COUNTER,
        "listener reason",
        "Connections closed without a session: see docs/connections.md.",
        "listeners × 5",
        (),
    ),
    ("sessions_total", Kind.COUNTER, "listener", "SMTP sessions that clients opened.", "listeners", ()),
    ("open_sessions", Kind.GAUGE, "listener", "SMTP sessions open now.", "listeners", ()),
    (
        "tls_sessions_total",
        Kind.COUNTER,
        "listener version",
        "TLS handshakes with clients that came to their end, after STARTTLS or under implicit TLS: `TLSv1.2` or `TLSv1.3`.",
        "listeners × 2",
        (),
    ),
    (
        "tls_handshake_failures_total",
        Kind.COUNTER,
        "listener reason",
        "TLS handshakes that failed, after STARTTLS or under implicit TLS; docs/certificates.md has the reasons.",
        "listeners × 10",
        (),
    ),
    ("authentications_total", Kind.COUNTER, "mechanism result", "AUTH exchanges by result: `succeeded` or `failed`.", "3 × 2", ()),
    (
        "authentication_failures_total",
        Kind.COUNTER,
        "mechanism reason",
        "AUTH exchanges without a login by reason: `credentials`, `authorization`, `banned`, `overloaded` or `incomplete`.",
        "3 × 5",
        (),
    ),
    (
        "refusals_total",
        Kind.COUNTER,
        "listener command code",
        "Commands answered with a 4yz or 5yz code; those that the gateway does not know are `other`.",
        "listeners × 15 × 17",
        (),
    ),
    (
        "accepted_messages_total",
        Kind.COUNTER,
        "listener identity",
        "Messages made durable.",
        "listeners × identities",
        (),
    ),
    ("accepted_recipients_total", Kind.COUNTER, "listener identity", "Recipients of accepted messages.", "listeners × identities", ()),
    ("accepted_bytes_total", Kind.COUNTER, "listener identity", "Octets of accepted messages.", "listeners × identities", ()),
    (
        "accept_seconds",
        Kind.HISTOGRAM,
        "listener",
        "Time that clients waited from the end of a message's data to its 250, the network apart.",
        "listeners",
        ACCEPT_BUCKETS,
    ),
    (
        "postponed_messages_total",
        Kind.COUNTER,
        "listener code",
        "Messages that the spool could not take: their clients keep them. `452` for want of space, else `451`.",
        "listeners × 2",
        (),
    ),
    ("spool_sync_seconds", Kind.HISTOGRAM, "", "Time one commit of the spool took to be durable.", "1", SYNC_BUCKETS),
    ("spool_synced_messages_total", Kind.COUNTER, "", "Messages made durable by those commits.", "1", ()),
    ("attempt_seconds", Kind.HISTOGRAM, "route", "Time one delivery attempt took, whatever came of it.", "routes", ATTEMPT_BUCKETS),
    ("retries_total", Kind.COUNTER, "route", "Those attempts that were not the first of one of their recipients.", "routes", ()),
    ("delivered_recipients_total", Kind.COUNTER, "route identity", "Recipients that a next hop took.", "routes × identities", ()),
    (
        "encrypted_recipients_total",
        Kind.COUNTER,
        "route version verified",
        "Recipients that a next hop took under TLS: `TLSv1.2` or `TLSv1.3`, and whether its certificate was verified (`true`, `false`).",
        "routes × 4",
        (),
    ),
    (
        "delivery_age_seconds",
        Kind.HISTOGRAM,
        "route",
        "Time from acceptance to delivery, once a delivered transaction.",
        "routes",
        AGE_BUCKETS,
    ),
    (
        "deferred_recipients_total",
        Kind.COUNTER,
        "route identity",
        "Recipients put off to another attempt, once an attempt.",
        "routes × identities",
        (),
    ),
    ("bounced_recipients_total", Kind.COUNTER, "route identity", "Recipients that failed for good.", "routes × identities", ()),
    ("throttles_total", Kind.COUNTER, "route", "Answers by which next hops asked for less: see docs/pacing.md.", "routes", ()),
    (
        "notices_total",
        Kind.COUNTER,
        "kind fate",
        "Notices that were due: `failure`, `delay` or `success`, gone to the `sender` or the `postmaster`, `dropped` or `suppressed` (docs/bounces.md).",
        "3 × 4",
        (),
    ),
    ("removed_messages_total", Kind.COUNTER, "", "Messages that `smtp-gateway queue remove` took out of the queue.", "1", ()),
)
_READ = (
    ("queue_messages", "", "Messages in the spool, those being delivered included.", "1"),
    ("queue_oldest_seconds", "", "Age of the oldest message in the spool; 0 when it is empty.", "1"),
    ("queue_held_messages", "", "Messages in the spool that a person holds.", "1"),
    ("queue_lateness_seconds", "", "By how much the most overdue message is late; 0 when nothing is due.", "1"),
    (
        "route_queue_messages",
        "route",
        "Messages in the spool that an attempt would give a route now, by the last walk through them (see above); absent before the first.",
        "routes",
    ),
    ("route_queue_oldest_seconds", "route", "Age of the oldest of those; 0 when there is none.", "routes"),
    ("spool_volume_bytes", "", "Size of the spool's volume.", "1"),
    ("spool_free_bytes", "", "What new mail may still use of the volume; 0 when it is refused for want of space.", "1"),
    (
        "spool_used_bytes",
        "",
        "What is used of the volume: by mail, by the queue's log and what is kept free for it, and by whatever else is on it.",
        "1",
    ),
    ("paced_messages", "route", "Messages that are due and wait for their pace.", "routes"),
    (
        "pace_messages_per_second",
        "route",
        "How fast this pod may give a route messages now; absent for routes without a pace.",
        "routes",
    ),
    ("throttled_destinations", "route", "Destinations that asked for less and are given less.", "routes"),
    (
        "upstream_up",
        "route host port credentials",
        "Whether the last probe of a smarthost came through; absent before the first.",
        "smarthosts",
    ),
    (
        "upstream_failure",
        "route host port credentials cause",
        "1 for what the last probe of a smarthost failed by, in one word (docs/operations.md); absent while it comes through.",
        "smarthosts",
    ),
    (
        "upstream_last_success_timestamp_seconds",
        "route host port credentials",
        "When a probe of a smarthost last came through, in seconds since the epoch; absent when none has.",
        "smarthosts",
    ),
    ("port_25_blocked", "", "Whether exchangers of several domains give no answer on port 25, and none of any domain does.", "1"),
    ("draining", "", "Whether no new mail is taken because this pod is to become empty, or stops.", "1"),
    (
        "certificate_expiration_timestamp_seconds",
        "",
        "When the listeners' certificate in force expires, in seconds since the epoch.",
        "1",
    ),
    ("config_info", "hash", "Always 1; the label says which configuration is in force.", "1"),
    ("config_last_load_successful", "", "Whether the newest configuration in the folder could be loaded.", "1"),
)
_PROCESS = (
    ("virtual_memory_bytes", Kind.GAUGE, "Virtual memory of the process."),
    ("resident_memory_bytes", Kind.GAUGE, "Resident memory of the process."),
    ("start_time_seconds", Kind.GAUGE, "When the process started, in seconds since the epoch, as the kernel knows it."),
    ("cpu_seconds_total", Kind.COUNTER, "Processor time of the process, its user's and its system's."),
    ("open_fds", Kind.GAUGE, "Files and connections that are open."),
    ("max_fds", Kind.GAUGE, "How many may be open."),
)
READ_AT_SCRAPE = {
    name: Metric(f"{PREFIX}{name}", Kind.GAUGE, tuple(labels.split()), meaning, bound) for name, labels, meaning, bound in _READ
}
"""The gauges that come from their sources, by their names without the prefix."""
COUNTED = tuple(
    Metric(f"{PREFIX}{name}", kind, tuple(labels.split()), meaning, bound, buckets) for name, kind, labels, meaning, bound, buckets in _TOLD
)
"""What an observer counts."""
PROCESS = tuple(Metric(f"process_{name}", kind, (), meaning, "1") for name, kind, meaning in _PROCESS)
"""What Prometheus' own library tells of any process."""
METRICS = (*COUNTED, *READ_AT_SCRAPE.values(), *PROCESS)
"""Every metric that a gateway exports."""

HEAD = f"""\
# Metrics of a gateway

Every gateway pod exports these on its HTTP port (8080) under `/metrics`, without mail addresses.
This page is printed by `python -m smtp_gateway.telemetry.table`; a test scrapes a gateway and compares.

**How many series.** *Bound* says how many a pod has of a metric at most; a histogram has as many of each of its buckets, of its sum and of its
count. *Listeners*, *routes* and *smarthosts* are those of the configuration. An *identity* is whose mail it is: the name of the Secret of
a login, `listener/NAME` where none was needed, or `gateway/notices` for what the gateway writes itself. Of listeners × identities
and of routes × identities {PAIRS} pairs each have series of their own, those of the configuration or, where it has more, those that came
first; all others are counted as `{OTHER}`, one for each listener or route (a Secret of that name is counted among them).
Series of routes and identities that are no longer in the configuration are dropped once nothing has been counted in them for {IDLE / 3600:.0f} hour;
listeners change with a restart only.

**From the first event on.** Counters whose labels are known beforehand are there from the start, at 0, because Prometheus' `increase()` does
not see the event that makes a series. Of `refusals_total` these are the replies 451, 452, 530, 550, 552, 553 and 554 to MAIL, RCPT, DATA and
BDAT; the others, and identities where there are more than have series of their own, begin with their first event.

**What waits for a route** is found by walking through the queue, because a message is routed anew at each attempt. A walk begins 10 seconds
after the last one, and at once when routes change; it takes a moment for a hundred messages and some nine minutes for a million. A message
counts for each route that one of its recipients takes.

"""


def documentation() -> str:
    """Return the metrics as the Markdown page `docs/metrics.md`."""
    rows = (
        f"| `{each.name}` | {each.kind.value} | {', '.join(f'`{label}`' for label in each.labels) or '-'} | {each.bound} | {each.meaning} |"
        for each in METRICS
    )
    return HEAD + "\n".join(("| name | type | labels | bound | meaning |", "|---|---|---|---|---|", *rows, ""))


if __name__ == "__main__":
    sys.stdout.write(documentation())
