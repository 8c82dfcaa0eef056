"""The chart's own suites, run by helm-unittest, and whether they would notice a condition that is wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import yaml

from tests.chart.readme import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUITES = sorted((CHART / "tests").glob("*_test.yaml"))
_CONDITION = re.compile(r"(?P<opening>\{\{-? (?:else )?(?P<word>if|with) )(?P<expression>.+?)(?= -?\}\})")


@dataclass(frozen=True, slots=True)
class Change:
    """A template of the chart with one condition decided beforehand."""

    template: Path
    text: str
    what: str


def unittest(tools: Path, chart: Path, *suites: str) -> subprocess.CompletedProcess[str]:
    """Run *suites*, or all of them."""
    chosen = [f"--file=tests/{suite}" for suite in suites]
    return subprocess.run([tools / "helm-unittest", "--strict", *chosen, str(chart)], check=False, capture_output=True, text=True)


def changes(template: Path) -> Iterator[Change]:
    """Yield *template* with each `if` always and never true, and each `with` without its value."""
    text = template.read_text()
    for found in _CONDITION.finditer(text):
        for decided in ("true", "false") if found["word"] == "if" else ("false",):
            line = text.count("\n", 0, found.start()) + 1
            changed = f"{text[: found.start()]}{found['opening']}{decided}{text[found.end() :]}"
            yield Change(template, changed, f"{template.name}:{line}: {found['word']} {found['expression']} -> {decided}")


def is_noticed(tools: Path, folder: Path, change: Change) -> bool:
    """Tell whether a suite about the template fails once it is changed."""
    chart = folder / re.sub(r"\W+", "-", change.what)
    shutil.copytree(CHART, chart)
    (chart / change.template.relative_to(CHART)).write_text(change.text)
    return unittest(tools, chart, *suites_of(change.template)).returncode != 0


def suites_of(template: Path) -> list[str]:
    """Return the suites that render *template*; a file of definitions is part of each."""
    named = str(template.relative_to(CHART))
    return [one.name for one in SUITES if template.suffix == ".tpl" or named in yaml.safe_load(one.read_text())["templates"]]


def test_the_suites_pass(tools: Path) -> None:
    """What the chart's own suites say of its templates is so."""
    done = unittest(tools, CHART)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(SUITES)} passed, {len(SUITES)} total" in done.stdout


def test_each_condition_is_told_by_a_suite(tools: Path, tmp_path: Path) -> None:
    """Whichever condition of a template is decided beforehand, true or false, a suite fails."""
    templates = [one for one in sorted(CHART.glob("templates/**/*.*")) if suites_of(one)]
    assert not is_noticed(tools, tmp_path, Change(templates[0], templates[0].read_text(), "unchanged"))
    tried = [change for template in templates for change in changes(template)]
    with ThreadPoolExecutor(2) as pool:
        noticed = list(pool.map(partial(is_noticed, tools, tmp_path), tried))

    assert len(tried) > len(templates)
    assert [change.what for change, seen in zip(tried, noticed, strict=True) if not seen] == []
