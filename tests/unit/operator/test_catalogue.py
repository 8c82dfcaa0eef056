"""The catalogue of conditions: complete, without repetition, and worth reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtp_gateway_operator import reconcile
from smtp_gateway_operator.status.catalogue import CATALOGUE, CONDITIONS, EVENTS, Entry, documentation, event_type
from smtp_gateway_operator.status.reasons import OPEN_RELAY_RISK, Reason
from tests.unit.operator.setting import KEY, Setting, resource


def test_every_reason_has_its_row() -> None:
    """No word is used that nobody explains, and none is explained that is not a word."""
    assert {entry.reason for entry in CATALOGUE} == set(Reason)


def test_no_row_is_told_twice() -> None:
    """A condition and a reason say one thing."""
    rows = [(entry.condition, entry.reason) for entry in CATALOGUE]

    assert len(rows) == len(set(rows))


def test_every_cause_of_a_reconcile_has_its_row() -> None:
    """What an error makes of a condition is explained under that condition."""
    rows = {(entry.condition, entry.reason) for entry in CATALOGUE}

    assert set(reconcile._CAUSES.values()) <= rows  # noqa: SLF001 the table that decides


async def test_every_condition_has_its_chapter() -> None:
    """Each condition that a status has is described, in the order in which it is shown."""
    setting = Setting()
    await setting.given(resource())
    await setting.reconcile(KEY)

    assert [one["type"] for one in (await setting.status())["conditions"]] == list(CONDITIONS)


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: f"{entry.condition}-{entry.reason}")
def test_trouble_comes_with_advice_and_an_event(entry: Entry) -> None:
    """What is not as it should be has a remedy, and a Warning, unless another condition's tells it or nothing is wrong."""
    explained = entry.reason in {Reason.COMPLETE, Reason.WAITING, Reason.PODS_NOT_READY}
    bad = "True" if entry.condition == OPEN_RELAY_RISK else "False"

    assert entry.status in {"True", "False", "Unknown"}
    if entry.status == bad and entry.reason != Reason.COMPLETE:
        assert entry.remedy
    if entry.status == bad:
        assert (entry.event == "Warning") == (not explained)
    if entry.event == "Warning":
        assert entry.remedy


def test_the_document_has_every_word() -> None:
    """The committed document holds each condition, reason and Event; `make check` compares it to the letter."""
    written = Path("docs/operations.md").read_text()

    assert written == documentation()
    for condition in CONDITIONS:
        assert f"## {condition}\n" in written
    for reason in (*Reason, *(reason for _, reason, _ in EVENTS)):
        assert f"`{reason}`" in written


def test_a_reason_of_a_newer_version_is_no_event() -> None:
    """A status that a later operator wrote is read without a complaint."""
    assert event_type("Ready", "Eclipse") == ""
