"""Which cluster is used: the one the developer names and no other, else kind, else the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab import provider
from tests.lab.shell import LabError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend a machine: which tools are on the path, whether Docker answers, what the environment names."""

    def pretend(*tools: str, docker: bool = False, context: str = "") -> None:
        monkeypatch.setattr("tests.lab.provider.shutil.which", lambda name: f"/bin/{name}" if name in tools else None)
        monkeypatch.setattr(provider, "succeeds", lambda _: docker)
        monkeypatch.setenv(provider.CONTEXT_VARIABLE, context)

    return pretend


def test_a_bare_machine_gets_the_lab(machine: Callable[..., None]) -> None:
    """Without Docker and kind there is still a cluster."""
    machine()

    assert provider.choose_provider() == "lab"


def test_kind_is_preferred_where_docker_works(machine: Callable[..., None]) -> None:
    """Kind is used where it is installed and can work."""
    machine("kind", "docker", docker=True)

    assert provider.choose_provider() == "kind"


def test_kind_without_a_docker_engine_is_of_no_use(machine: Callable[..., None]) -> None:
    """A client without an engine does not count."""
    machine("kind", "docker", docker=False)

    assert provider.choose_provider() == "lab"


def test_a_named_context_goes_before_everything(machine: Callable[..., None]) -> None:
    """What the developer names is used, whatever else there is."""
    machine("kind", "docker", docker=True, context="staging")

    assert provider.choose_provider() == "context"


def test_an_unknown_context_is_refused(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name must not end in some other cluster: nothing is asked of any API before the name is known."""
    asked: list[list[str]] = []

    def run(command: list[object], **_: object) -> str:
        asked.append([str(word) for word in command])
        return "production\nstaging\n"

    machine("kubectl", context="stagin")
    monkeypatch.setattr(provider, "run", run)

    with pytest.raises(LabError, match=r"names the context 'stagin', but .* has none of that name"):
        provider.connect()
    assert [command[2:] for command in asked] == [["config", "get-contexts", "--output=name"]]


@pytest.mark.parametrize("missing", ["gateway", "operator"])
def test_a_named_cluster_needs_named_images(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the developer can put images where that cluster pulls from; the sentence says which variable to set."""
    for key, variable in provider.IMAGE_VARIABLES.items():
        monkeypatch.setenv(variable, "" if key == missing else "registry.example/image:1")

    with pytest.raises(LabError, match=f"name the {missing}'s image .* in {provider.IMAGE_VARIABLES[missing]}"):
        provider.named_images()
