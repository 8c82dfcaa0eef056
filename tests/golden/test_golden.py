"""The operator's objects, whole: what changes in them is seen in a diff. `make golden` writes the files anew."""

from __future__ import annotations

import pytest

from tests.golden.rendering import NAMES, OUTPUT, rendered


@pytest.mark.parametrize("name", NAMES)
def test_the_children_are_as_they_were(name: str) -> None:
    """Every child of `input/NAME.yaml` is what `output/NAME.yaml` says."""
    assert rendered(name) == (OUTPUT / f"{name}.yaml").read_text()


def test_every_output_has_an_input() -> None:
    """A golden file whose input is gone would be compared with nothing."""
    assert NAMES
    assert sorted(path.stem for path in OUTPUT.iterdir()) == NAMES
