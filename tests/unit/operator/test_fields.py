"""The twin's view of fields: lists that are maps, who set what, and merge patches."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway_operator.cluster.fields import fields_of, keyed, listed, merged, patched, without

HTTP = {"port": 80, "protocol": "TCP", "name": "http"}
SMTP = {"port": 25, "protocol": "TCP", "name": "smtp"}


def applied(live: Any, given: Any) -> Any:
    """Return *live* after *given* was merged into it."""
    return listed(merged(keyed(live), keyed(given)))


@pytest.mark.parametrize(
    "value",
    [
        {"ports": [HTTP, SMTP], "args": ["a", "b"]},
        {"ports": []},
        {"conditions": [{"type": "Ready", "status": "True"}], "containers": [{"name": "main", "ports": [{"containerPort": 25}]}]},
        {"data": {}, "spec": None},
    ],
)
def test_listed_undoes_keyed(value: dict[str, Any]) -> None:
    """Turning lists into maps loses nothing, neither their order nor that they are lists."""
    assert listed(keyed(value)) == value


def test_items_are_identified_by_their_keys() -> None:
    """A port is the same port in another place and under another name; what is not said about it stays."""
    live = {"ports": [HTTP, SMTP | {"nodePort": 30025}]}

    assert applied(live, {"ports": [SMTP | {"name": "mail"}]}) == {"ports": [HTTP, SMTP | {"nodePort": 30025, "name": "mail"}]}


def test_other_lists_are_one_value() -> None:
    """Arguments are replaced as a whole."""
    assert applied({"args": ["a", "b"], "image": "x"}, {"args": ["c"]}) == {"args": ["c"], "image": "x"}


def test_fields_that_nobody_keeps_are_removed() -> None:
    """What was set and is kept by no other set goes; what is kept, and what was never in the set, stays."""
    live = {"spec": {"a": 1, "b": {"c": 2}, "theirs": 3}, "data": {"x": 1}}
    was_set = fields_of({"spec": {"a": 1, "b": {"c": 2}}, "data": {"x": 1}})

    assert without(live, was_set, ({"spec": {"a": {}}},)) == {"spec": {"a": 1, "theirs": 3}}


@pytest.mark.parametrize(
    ("live", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches(live: Any, patch: Any, result: Any) -> None:
    """The examples of RFC 7386 appendix A."""
    assert patched(live, patch) == result
