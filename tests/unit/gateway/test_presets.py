"""Pacing in the resource: what is accepted, what a preset stands for, and that the documentation says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smtp_gateway.config.pace import Pacing as Pace
from smtp_gateway.config.resource import to_config
from smtp_gateway.config.resource.pacing import PRESETS, Preset
from tests.support.resources import gateway, refusal


def paced(**pacing: Any) -> dict[str, Any]:
    """Return the spec of a gateway with one route that has *pacing*."""
    return {"routes": [{"name": "default", "smarthosts": [{"host": "smtp.example"}], "pacing": pacing}]}


def pace(**pacing: Any) -> Pace | None:
    """Return what the pods are told."""
    return to_config(gateway(**paced(**pacing)), ()).routes[0].pacing


def test_every_preset_is_known() -> None:
    """With limits, a note, and the provider's own page."""
    assert set(PRESETS) == set(Preset)
    for published in PRESETS.values():
        assert published.source.startswith("https://")
        assert published.note
        assert published.pacing != Pace()


def test_what_is_written_wins_over_the_preset() -> None:
    """And the preset says the rest."""
    assert pace(preset="Microsoft365") == Pace(messages_per_minute=30, recipients_per_day=10_000, connections=3)
    assert pace(preset="Microsoft365", connections=1, messagesPerDay=50) == Pace(
        messages_per_minute=30, messages_per_day=50, recipients_per_day=10_000, connections=1
    )
    assert pace(recipientsPerSecond=14) == Pace(recipients_per_second=14)
    assert to_config(gateway(), ()).routes[0].pacing is None


@pytest.mark.parametrize(
    ("pacing", "sentence"),
    [
        ({}, "pacing needs a preset or at least one limit"),
        ({"messagesPerSecond": 0}, "greater than or equal to 1"),
        ({"messagesPerSecond": 0.5}, "valid integer"),
        ({"messagesPerMinute": 600_001}, "less than or equal to 600000"),
        ({"connections": 1001}, "less than or equal to 1000"),
        ({"preset": "Nobody"}, "'AmazonSESSandbox', 'GoogleWorkspace'"),
    ],
)
def test_what_says_nothing_or_too_much_is_refused(pacing: dict[str, Any], sentence: str) -> None:
    """With the field and what it may be."""
    said = refusal(**paced(**pacing))

    assert "pacing" in said
    assert sentence in said


def test_the_documentation_has_every_preset_with_its_numbers_and_its_source() -> None:
    """docs/pacing.md, row by row."""
    rows = [line for line in Path("docs/pacing.md").read_text("utf-8").splitlines() if line.startswith("| `") and "](https://" in line]

    assert rows == [
        f"| `{preset}` | {limits(published.pacing)} | [source]({published.source}) | {published.note} |"
        for preset, published in PRESETS.items()
    ]


def limits(pacing: Pace) -> str:
    """Return *pacing* as the page has it."""
    return ", ".join(f"`{name}: {value}`" for name, value in pacing.model_dump(by_alias=True, exclude_none=True).items())
