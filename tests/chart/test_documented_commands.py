"""Commands of kubectl and helm in the documentation, by what these programs themselves say of them."""

from __future__ import annotations

from itertools import pairwise, takewhile
from pathlib import Path

import pytest
import yaml

from tests.chart.readme import CHART
from tests.lab.provider import connect
from tests.support.command_lines import mentioned, typed
from tests.support.kube import Kube, run

COMMANDS = {
    page: commands
    for page in (Path("README.md"), CHART / "README.md", *sorted(Path("docs").rglob("*.md")))
    if (commands := [one for one in (*typed(page), *mentioned(page)) if one[0] in {"kubectl", "helm"}])
}
NAME_RESOURCES = {"annotate", "delete", "describe", "edit", "explain", "get", "label", "patch", "port-forward", "scale", "wait"}
"""Verbs of kubectl that are followed by one, or by one and a name."""
WITH_VALUE = {"-n", "--namespace", "-l", "-o", "-p", "--timeout"}
"""Options whose value the pages write as a word of its own."""
ELSEWHERE = {"certificate", "certificates"}
"""cert-manager's."""


@pytest.fixture(scope="module")
def resources() -> set[str]:
    """Every name by which kubectl knows a kind: those of the cluster, and the project's own."""
    rows = [row.split() for row in Kube(connect())("api-resources", "--no-headers").splitlines()]
    known = {name for row in rows for name in (row[0], row[-1].lower(), *(row[1].split(",") if len(row) > 4 else ()))}
    ours = yaml.safe_load(Path("crds/smtpgateways.yaml").read_text())["spec"]["names"]
    return known | ELSEWHERE | {ours["plural"], ours["singular"], *ours["shortNames"], *ours["categories"]}


def words(command: tuple[str, ...]) -> list[str]:
    """Return the words of a command that are no options, up to what it has a pod run."""
    own = list(takewhile(lambda word: word != "--", command))
    return [word for before, word in zip(["", *own], own, strict=False) if not word.startswith("-") and before not in WITH_VALUE]


@pytest.mark.parametrize("page", COMMANDS, ids=str)
def test_every_subcommand_and_option_exists(page: Path) -> None:
    """Asked for help, kubectl and helm read the whole command line first, and refuse what they do not know."""
    cluster = connect()
    programs = {"kubectl": cluster.kubectl, "helm": cluster.helm}
    for command in COMMANDS[page]:
        own = takewhile(lambda word: word != "--", command[1:])
        assert " ".join(words(command)[:2]) in run([str(programs[command[0]]), *own, "--help"]), command


@pytest.mark.parametrize("page", COMMANDS, ids=str)
def test_every_kind_exists(page: Path, resources: set[str]) -> None:
    """Whatever is got, described, deleted or waited for is something that the cluster, or the chart's CRD, has."""
    for command in COMMANDS[page]:
        program, verb, *named = words(command)
        if program == "kubectl" and verb in NAME_RESOURCES and named and "--raw" not in command:
            assert named[0].partition("/")[0].partition(".")[0] in resources, command


@pytest.mark.parametrize("page", COMMANDS, ids=str)
def test_every_value_of_the_chart_exists(page: Path) -> None:
    """`--set` names values that the chart's schema knows."""
    for command in COMMANDS[page]:
        if command[0] == "helm" and str(CHART) in command:
            values = [option for before, word in pairwise(command) if before == "--set" for option in ("--set", word)]
            assert "kind: Deployment" in run([str(connect().helm), "template", "smtp", str(CHART), *values]), command
