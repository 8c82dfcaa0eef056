"""What committed dashboards ask once something was chosen."""

from __future__ import annotations

import pytest

from dashboards.committed import Choice

CHOICE = Choice("mail", "relay", "relay-0", "4s")


def test_variables_are_filled_in() -> None:
    """Every one of the dashboards' own, as Grafana does it; `$1` stays what `label_replace` wants."""
    query = (
        'label_replace(rate(x{namespace=~"$namespace", pod=~"$gateway-[0-9]+", pod=~"$pod"}[$__rate_interval]), "a", "$1", "pod", "(.+)")'
    )

    filled = 'label_replace(rate(x{namespace=~"mail", pod=~"relay-[0-9]+", pod=~"relay-0"}[4s]), "a", "$1", "pod", "(.+)")'
    assert CHOICE.filled(query) == filled


def test_an_unknown_variable_is_an_error() -> None:
    """A query with a variable that nobody can choose would find nothing in Grafana."""
    with pytest.raises(KeyError, match="cluster"):
        CHOICE.filled('x{cluster="$cluster"}')
