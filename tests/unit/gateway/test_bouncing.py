"""Who is told what: when a notice is due, to whom it goes, and what makes it one too many."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway.bouncing import ASKED_DELAY, Bouncing, Fate, Told
from smtp_gateway.config.model import Bounces, BounceTo, Route
from smtp_gateway.config.pace import Retry
from smtp_gateway.content.report import Kind
from smtp_gateway.mail.dsn import Asked, Dsn
from smtp_gateway.mail.envelope import MessageId
from smtp_gateway.routing.table import Table, is_notice
from smtp_gateway.spool.api import Entry, Recipient
from smtp_gateway.spool.schedule import Terms, settle
from tests.support.dispatching import config
from tests.support.messages import NOW
from tests.support.notices import BODY, BUSY, POSTMASTER, RECIPIENT, REFUSED, SENDER, TAKEN

if TYPE_CHECKING:
    from smtp_gateway.mail.outcome import Outcome

DAY = 86400.0
OTHER = "b@x.example"
TO_POSTMASTER = Bounces(to=BounceTo.POSTMASTER, postmaster=POSTMASTER)
DROP = Bounces(to=BounceTo.DROP)
AWARE = Bounces(postmaster=POSTMASTER)
ANSWER = b"Auto-Submitted: auto-replied\r\n\r\n.\r\n"
LARGE = b"Subject: Large\r\n\r\n" + b"x\r\n" * 100_000 + b".\r\n"


def entry(*recipients: Recipient, **changes: Any) -> Entry:
    """Return a message of an application."""
    owed = recipients or (Recipient(RECIPIENT),)
    return replace(Entry(MessageId("M1"), SENDER, owed, NOW - DAY, len(BODY), identity="app"), **changes)


def told(about: Entry, outcomes: dict[str, Outcome], bounces: Bounces | None = None, body: bytes = BODY) -> Told:
    """Return what is told of one attempt."""
    numbers = count(1)
    settings = config(Route(name="default"), bounces=bounces)
    terms = Terms(5 * DAY, dict.fromkeys(outcomes, Retry()))
    bouncing = Bouncing(settings, lambda _: MessageId(f"N{next(numbers)}"))
    return bouncing.told(about, body, settle(about, outcomes, terms, NOW, 0.0), terms, NOW)


def octets(found: Told) -> bytes:
    """Return the notice."""
    assert found.settlement.notice is not None
    assert isinstance(found.settlement.notice.body, bytes)
    return found.settlement.notice.body


def asking(notify: str, ret: str = "") -> Dsn:
    """Return what asks for *notify*."""
    return Dsn(ret, "", {RECIPIENT: Asked(notify)})


@pytest.mark.parametrize(
    ("changes", "body", "bounces", "to", "fate"),
    [
        ({}, BODY, Bounces(), SENDER, Fate.SENDER),
        ({}, BODY, AWARE, SENDER, Fate.SENDER),
        ({}, BODY, TO_POSTMASTER, POSTMASTER, Fate.POSTMASTER),
        ({}, BODY, DROP, "", Fate.DROPPED),
        # What lists and applications send is told of like any other mail.
        ({}, b"List-Id: <x.y>\r\nPrecedence: bulk\r\nAuto-Submitted: auto-generated\r\n\r\n.\r\n", Bounces(), SENDER, Fate.SENDER),
        ({"sender": "postmaster@here.example"}, BODY, AWARE, "postmaster@here.example", Fate.SENDER),
        # Nobody to tell, and what looks like an answer whatever its sender.
        ({"sender": ""}, BODY, AWARE, "", Fate.SUPPRESSED),
        ({"sender": ""}, BODY, TO_POSTMASTER, "", Fate.SUPPRESSED),
        ({}, ANSWER, Bounces(), "", Fate.SUPPRESSED),
        ({}, ANSWER, TO_POSTMASTER, "", Fate.SUPPRESSED),
        ({"sender": "Mailer-Daemon@there.example"}, BODY, Bounces(), "", Fate.SUPPRESSED),
        # The gateway's own notices go to the postmaster, and no further.
        ({"sender": "", "identity": ""}, ANSWER, AWARE, POSTMASTER, Fate.POSTMASTER),
        ({"sender": "", "identity": ""}, ANSWER, TO_POSTMASTER, POSTMASTER, Fate.POSTMASTER),
        ({"sender": "", "identity": ""}, ANSWER, Bounces(), "", Fate.SUPPRESSED),
        ({"sender": "", "identity": ""}, ANSWER, Bounces(postmaster=RECIPIENT.upper()), "", Fate.SUPPRESSED),
        ({"sender": "", "identity": ""}, ANSWER, DROP, "", Fate.DROPPED),
    ],
)
def test_who_is_told_of_a_failure(changes: dict[str, Any], body: bytes, bounces: Bounces, to: str, fate: Fate) -> None:
    """As configured; but nobody is told of a notice, by whatever it is known to be one."""
    found = told(entry(**changes), {RECIPIENT: REFUSED}, bounces, body)

    assert (found.to, found.fate, found.kind) == (to, fate, Kind.FAILURE)
    assert (found.notice is not None) is bool(to)
    if found.settlement.notice is not None:
        assert found.settlement.notice.envelope.recipients == (to,)
        assert is_notice(found.settlement.notice.as_entry())


def test_an_answer_to_the_daemon_is_told_to_nobody() -> None:
    """A program that answers notices, through this gateway, starts no loop; who writes to others too is told of them."""
    daemon, both = Recipient("MAILER-DAEMON@gateway.example"), ("MAILER-DAEMON@gateway.example", OTHER)

    assert told(entry(daemon), {daemon.address: REFUSED}).fate is Fate.SUPPRESSED
    assert told(entry(*map(Recipient, both)), dict.fromkeys(both, REFUSED)).fate is Fate.SENDER


@pytest.mark.parametrize(
    ("outcome", "notify", "kind"),
    [
        (REFUSED, "", Kind.FAILURE),
        (REFUSED, "FAILURE", Kind.FAILURE),
        (REFUSED, "NEVER", None),
        (REFUSED, "SUCCESS,DELAY", None),
        (TAKEN, "", None),
        (TAKEN, "SUCCESS", Kind.SUCCESS),
        (TAKEN, "FAILURE,DELAY", None),
        (TAKEN, "NEVER", None),
        (BUSY, "DELAY", Kind.DELAY),
        (BUSY, "", None),
        (BUSY, "NEVER", None),
        (BUSY, "SUCCESS,FAILURE", None),
    ],
)
def test_what_is_told_by_notify(outcome: Outcome, notify: str, kind: Kind | None) -> None:
    """RFC 3461 section 4.1: failures unless waived, successes and delays when asked for."""
    found = told(entry(dsn=asking(notify)), {RECIPIENT: outcome})

    assert (found.kind, found.notice is not None) == (kind, kind is not None)


@pytest.mark.parametrize(
    ("notify", "warning", "age", "warned"),
    [
        ("DELAY", None, ASKED_DELAY, True),
        ("DELAY", None, ASKED_DELAY - 1, False),
        ("", None, 4 * DAY, False),
        ("", 3600.0, 3600.0, True),
        ("", 3600.0, 3599.0, False),
        ("DELAY", 3600.0, 3600.0, True),
        ("DELAY", 8 * 3600.0, ASKED_DELAY, False),
        ("NEVER", 3600.0, DAY, False),
        ("FAILURE", 3600.0, DAY, False),
    ],
)
def test_when_a_delay_is_told(notify: str, warning: float | None, age: float, *, warned: bool) -> None:
    """To who asked for it, after four hours or when it is configured; to who said nothing, when it is configured."""
    about = entry(dsn=asking(notify), accepted_at=NOW - age)
    found = told(about, {RECIPIENT: BUSY}, Bounces(delay_warning=warning))

    assert (found.kind is Kind.DELAY) is warned
    assert [one.warned for one in found.settlement.remaining] == [warned]


def test_a_delay_is_told_once_for_each_recipient() -> None:
    """The mark is in the settlement; who was told already is not told again, and others are."""
    about = entry(Recipient(RECIPIENT, warned=True), Recipient(OTHER))
    found = told(about, dict.fromkeys((RECIPIENT, OTHER), BUSY), Bounces(delay_warning=1.0))

    assert [one.warned for one in found.settlement.remaining] == [True, True]
    assert OTHER.encode() in octets(found)
    assert RECIPIENT.encode() not in octets(found)
    again = told(entry(*found.settlement.remaining), dict.fromkeys((RECIPIENT, OTHER), BUSY), Bounces(delay_warning=1.0))
    assert (again.kind, again.notice) == (None, None)


def test_a_warning_that_nobody_gets_is_counted_once() -> None:
    """What is dropped or suppressed is done with as well."""
    for bounces, body, fate in ((DROP, BODY, Fate.DROPPED), (Bounces(delay_warning=1.0), ANSWER, Fate.SUPPRESSED)):
        found = told(entry(dsn=asking("DELAY")), {RECIPIENT: BUSY}, bounces, body)
        assert (found.fate, found.notice, found.settlement.remaining[0].warned) == (fate, None, True)


@pytest.mark.parametrize("identity", ["", "app"])
def test_nobody_is_warned_that_a_notice_is_late(identity: str) -> None:
    """The postmaster neither: there is nobody who waits for it."""
    found = told(entry(sender="", identity=identity), {RECIPIENT: BUSY}, Bounces(postmaster=POSTMASTER, delay_warning=1.0))

    assert (found.kind, found.notice) == (None, None)


def test_a_warning_says_until_when_it_is_tried() -> None:
    """Will-Retry-Until is the end of the route's lifetime."""
    assert b"\r\nWill-Retry-Until: Tue, 19 Jan 2027 08:00:00 -0000\r\n" in octets(told(entry(dsn=asking("DELAY")), {RECIPIENT: BUSY}))


def test_one_notice_tells_of_all_that_is_due() -> None:
    """It is called after the worst, and says nothing of those that nobody asked about (RFC 3461 section 5.2.8)."""
    asked = Dsn("", "", {RECIPIENT: Asked("SUCCESS"), "c@x.example": Asked("NEVER")})
    about = entry(*map(Recipient, (RECIPIENT, OTHER, "c@x.example", "d@x.example")), dsn=asked)
    found = told(about, {RECIPIENT: TAKEN, OTHER: REFUSED, "c@x.example": REFUSED, "d@x.example": TAKEN})

    assert found.kind is Kind.FAILURE
    assert [line for line in octets(found).split(b"\r\n") if line.startswith(b"Action")] == [b"Action: relayed", b"Action: failed"]
    assert b"c@x.example" not in octets(found)
    assert b"d@x.example" not in octets(found)


@pytest.mark.parametrize(
    ("ret", "outcome", "body", "bounces", "whole"),
    [
        ("FULL", REFUSED, BODY, Bounces(), True),
        ("HDRS", REFUSED, BODY, Bounces(), False),
        ("", REFUSED, BODY, Bounces(), False),
        ("FULL", TAKEN, BODY, Bounces(), False),
        ("FULL", BUSY, BODY, Bounces(), False),
        ("FULL", REFUSED, LARGE, Bounces(), False),
        ("FULL", REFUSED, BODY, TO_POSTMASTER, False),
    ],
)
def test_what_comes_back_by_ret(ret: str, outcome: Outcome, body: bytes, bounces: Bounces, *, whole: bool) -> None:
    """The whole message to the sender who asked for it, of a failure, up to a bound; the headers otherwise (RFC 3461 section 4.3)."""
    written = octets(told(entry(dsn=asking("SUCCESS,FAILURE,DELAY", ret)), {RECIPIENT: outcome}, bounces, body))

    assert (b"\r\nContent-Type: message/rfc822\r\n" in written) is whole
    assert (b"\r\nContent-Type: text/rfc822-headers\r\n" in written) is not whole


def test_only_a_message_of_nobody_from_nobody_is_a_notice_of_ours() -> None:
    """A client's notice, from `<>` as well, has the client's identity: it is routed and counted as the client's mail."""
    assert is_notice(entry(sender="", identity=""))
    assert not is_notice(entry(sender="", identity="listener/relay"))
    assert not is_notice(entry())


def test_notices_take_their_own_route_and_nothing_else_does() -> None:
    """Whoever asks where mail goes (dispatch, pace, what waits for a route) asks the same table, and it tells notices apart."""
    routes = (Route(name="bounces", recipient_domains=("elsewhere.example",)), Route(name="default"))
    table = Table.of(config(*routes, bounces=Bounces(route="bounces")))

    assert table.destinations(["a@x.example"], entry(sender="", identity="")) == {"bounces/x.example"}
    for other in (entry(), entry(sender="", identity="listener/relay")):
        assert table.destinations(["a@x.example"], other) == {"default/x.example"}
