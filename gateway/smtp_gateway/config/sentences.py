"""Validation errors in sentences that a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

SHOWN = 5
"""How many errors of one resource are told at once; more would bury the first."""


def sentence_of(error: ValidationError) -> str:
    """Return *error* as one line: where in the resource, and what is wrong there; without the values, which may be secrets."""
    errors = _causes(error.errors(include_url=False, include_input=False, include_context=False))
    told = [_told(tuple(one["loc"]), one["msg"]) for one in errors[:SHOWN]]
    more = len(errors) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _causes(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out that a list is too short where one of its items is wrong: pydantic does not count that item."""
    places = [one["loc"] for one in errors]
    return [one for one in errors if one["type"] != "too_short" or not any(_inside(place, one["loc"]) for place in places)]


def _inside(place: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


def _told(location: tuple[int | str, ...], message: str) -> str:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    text = message.removeprefix("Value error, ")
    return f"{path}: {text}" if path else text
