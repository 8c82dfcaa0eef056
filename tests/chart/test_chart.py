"""The Helm chart, rendered by helm itself under each of its ci values."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.provider import connect
from tests.support.kube import CommandError, run

CHART = Path("charts/smtp-gateway-operator")
VALUES = [None, *sorted(CHART.glob("ci/*-values.yaml"))]


def helm(*arguments: str) -> str:
    """Run helm, the one that the cluster tier uses."""
    return run([str(connect().helm), *arguments])


def render(*arguments: str) -> list[dict[str, Any]]:
    """Return the objects of the chart."""
    text = helm("template", "smtp", str(CHART), "--namespace=mail", *arguments)
    return [one for one in yaml.safe_load_all(text) if one]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the objects of one kind."""
    return [one for one in objects if one["kind"] == kind]


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem if path else "defaults")
def test_it_passes_helm_lint_and_renders(values: Path | None) -> None:
    """Each committed set of values passes `helm lint --strict` and renders a Deployment."""
    chosen = [f"--values={values}"] if values else []

    helm("lint", "--strict", str(CHART), *chosen)

    assert len(of_kind(render(*chosen), "Deployment")) == 1


def test_the_crd_is_the_repositorys() -> None:
    """The CRD that the chart installs is the one in `crds/`, kept on uninstallation by default."""
    committed = yaml.safe_load(Path("crds/smtpgateways.yaml").read_text())
    (crd,) = of_kind(render(), "CustomResourceDefinition")

    assert crd["spec"] == committed["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_crd_can_be_left_out_or_given_up() -> None:
    """`crds.enabled=false` installs none; `crds.keep=false` lets it go with the chart."""
    assert of_kind(render("--set=crds.enabled=false"), "CustomResourceDefinition") == []
    (crd,) = of_kind(render("--set=crds.keep=false"), "CustomResourceDefinition")
    assert "annotations" not in crd["metadata"]


def test_rights_follow_the_watched_namespaces() -> None:
    """The operator may act where it watches, and nowhere else."""
    own = render()
    two = render("--set=watchNamespaces={a,b}")
    wide = render("--set=clusterWide=true")

    assert [role["metadata"]["namespace"] for role in of_kind(own, "Role")] == ["mail"]
    assert [role["metadata"]["namespace"] for role in of_kind(two, "Role")] == ["a", "b"]
    assert of_kind(own, "ClusterRole") == of_kind(two, "ClusterRole") == []
    assert len(of_kind(wide, "ClusterRole")) == 1
    (lease,) = of_kind(wide, "Role")
    assert lease["metadata"]["namespace"] == "default"
    assert {resource for rule in lease["rules"] for resource in rule["resources"]} == {"leases"}


def test_nodes_are_read_only_where_that_is_wanted() -> None:
    """An operator of some namespaces has no right beyond them unless it is given the one to list nodes; one of all of them has it."""
    reading = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}
    given = render("--set=readNodes=true")

    (role,), (binding,) = of_kind(given, "ClusterRole"), of_kind(given, "ClusterRoleBinding")
    assert role["rules"] == [reading]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == of_kind(given, "RoleBinding")[0]["subjects"]
    assert of_kind(render(), "ClusterRoleBinding") == []
    for wide in (render("--set=clusterWide=true"), render("--set=clusterWide=true,readNodes=true")):
        (role,) = of_kind(wide, "ClusterRole")
        assert reading in role["rules"]


def test_each_operator_may_have_its_lease_where_it_works() -> None:
    """Only the Lease of that name can be read and written; a right to create cannot be limited to a name."""
    for rules in [role["rules"] for role in of_kind(render("--set=watchNamespaces={a,b}"), "Role")]:
        named, creating = [rule for rule in rules if rule["resources"] == ["leases"]]
        assert (named["resourceNames"], named["verbs"]) == (["smtp-gateway-operator"], ["get", "patch"])
        assert creating["verbs"] == ["create"]


def test_arguments_follow_the_watched_namespaces() -> None:
    """The operator watches what it has rights for."""

    def arguments(*values: str) -> list[str]:
        (deployment,) = of_kind(render(*values), "Deployment")
        all_of_them = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        assert "--operator-namespace=mail" in all_of_them  # which network policies let in, whatever it serves
        return [one for one in all_of_them if one.startswith(("--namespace", "--all"))]

    assert arguments() == ["--namespace=mail"]
    assert arguments("--set=watchNamespaces={a,b}") == ["--namespace=a", "--namespace=b"]
    assert arguments("--set=clusterWide=true") == ["--all-namespaces"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("--set=clusterWide=true,watchNamespaces={a}", "clusterWide and watchNamespaces exclude each other"),
        ("--set=replicas=2", "additional properties 'replicas' not allowed"),
        ("--set=image.pullPolicy=Sometimes", "pullPolicy"),
    ],
)
def test_wrong_values_are_refused(values: str, sentence: str) -> None:
    """Contradicting or unknown values end with a sentence instead of a broken installation."""
    with pytest.raises(CommandError, match=sentence):
        render(values)


def test_the_pod_is_restricted() -> None:
    """The operator runs under the restricted Pod Security standard."""
    (deployment,) = of_kind(render(), "Deployment")
    pod = deployment["spec"]["template"]["spec"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_package_holds_no_ci_values(tmp_path: Path) -> None:
    """`helm package` leaves the ci values out."""
    helm("package", str(CHART), f"--destination={tmp_path}")
    (archive,) = tmp_path.glob("*.tgz")
    names = subprocess.run(["tar", "-tzf", archive], check=True, capture_output=True, text=True).stdout

    assert "templates/deployment.yaml" in names
    assert "/ci/" not in names
