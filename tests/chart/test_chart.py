"""The Helm chart, rendered by helm itself under each of its ci values."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.readme import CHART, Value, values
from tests.lab.provider import connect
from tests.support.kube import CommandError, run

VALUES = [None, *sorted(CHART.glob("ci/*-values.yaml"))]

NOBODY_ELSE = "--set=rbac.aggregateRoles=false"
"""Leaves out the roles that are for people."""


def helm(*arguments: str) -> str:
    """Run helm, the one that the cluster tier uses."""
    return run([str(connect().helm), *arguments])


def render(*arguments: str, chart: Path = CHART) -> list[dict[str, Any]]:
    """Return the objects of the chart."""
    text = helm("template", "smtp", str(chart), "--namespace=mail", *arguments)
    return [one for one in yaml.safe_load_all(text) if one]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the objects of one kind."""
    return [one for one in objects if one["kind"] == kind]


@pytest.mark.parametrize("chosen", VALUES, ids=lambda path: path.stem if path else "defaults")
def test_it_passes_helm_lint_and_renders(chosen: Path | None) -> None:
    """Each committed set of values passes `helm lint --strict` and renders a Deployment."""
    arguments = [f"--values={chosen}"] if chosen else []

    helm("lint", "--strict", str(CHART), *arguments)

    assert len(of_kind(render(*arguments), "Deployment")) == 1


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
    own = render(NOBODY_ELSE)
    two = render(NOBODY_ELSE, "--set=watchNamespaces={a,b}")
    wide = render(NOBODY_ELSE, "--set=clusterWide=true")

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
    given = render("--set=readNodes=true", NOBODY_ELSE)

    (role,), (binding,) = of_kind(given, "ClusterRole"), of_kind(given, "ClusterRoleBinding")
    assert role["rules"] == [reading]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == of_kind(given, "RoleBinding")[0]["subjects"]
    assert of_kind(render(), "ClusterRoleBinding") == []
    for wide in (render("--set=clusterWide=true", NOBODY_ELSE), render("--set=clusterWide=true,readNodes=true", NOBODY_ELSE)):
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
    ("chosen", "sentence"),
    [
        ("--set=clusterWide=true,watchNamespaces={a}", "clusterWide and watchNamespaces exclude each other"),
        ("--set=replicas=2", "additional properties 'replicas' not allowed"),
        ("--set=image.pullPolicy=Sometimes", "pullPolicy"),
        ("--set=image.digest=sha256:12", "digest"),
        ("--set=podLabels.app\\.kubernetes\\.io/name=other", "invalid propertyName"),
        ("--set=extraEnv[0].name=POD_UID", "extraEnv"),
        ("--set=test.gateway=mail,test.recipient=b@example.com", "test.gateway needs test.sender and test.recipient"),
        ("--set=test.port=0", "port"),
        ("--set=podMonitor.enabled=true,serviceMonitor.enabled=true", "podMonitor and serviceMonitor exclude each other"),
    ],
)
def test_wrong_values_are_refused(chosen: str, sentence: str) -> None:
    """Contradicting or unknown values end with a sentence instead of a broken installation."""
    with pytest.raises(CommandError, match=sentence):
        render(chosen)


def test_an_image_with_a_digest_is_named_by_it() -> None:
    """The digest is what runs, whatever the tag says; without one it is the chart's version."""
    digest = f"sha256:{'0' * 64}"

    def images(*chosen: str) -> tuple[str, str]:
        (deployment,) = of_kind(render(*chosen), "Deployment")
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        (gateway,) = [one for one in container["args"] if one.startswith("--gateway-image=")]
        return container["image"], gateway.removeprefix("--gateway-image=")

    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert images() == (f"smtp-gateway-operator:{version}", f"smtp-gateway:{version}")
    pinned = f"--set=image.digest={digest},image.tag=other,gateway.image.digest={digest}"
    assert images(pinned) == (f"smtp-gateway-operator@{digest}", f"smtp-gateway@{digest}")


def test_monitors_and_policy_find_the_operators_port() -> None:
    """A PodMonitor, or a Service with its ServiceMonitor, and the NetworkPolicy select the operator's pod and name its metrics port."""
    (deployment,) = of_kind(render(), "Deployment")
    pod = deployment["spec"]["template"]
    ports = [port["name"] for port in pod["spec"]["containers"][0]["ports"]]
    (pods,) = of_kind(render("--set=podMonitor.enabled=true,podMonitor.labels.release=kps"), "PodMonitor")
    through = render("--set=serviceMonitor.enabled=true")
    (service,), (monitor,) = of_kind(through, "Service"), of_kind(through, "ServiceMonitor")
    (policy,) = of_kind(render("--set=networkPolicy.enabled=true"), "NetworkPolicy")

    for selector in (pods["spec"]["selector"]["matchLabels"], service["spec"]["selector"], policy["spec"]["podSelector"]["matchLabels"]):
        assert selector.items() <= pod["metadata"]["labels"].items()
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert pods["metadata"]["labels"]["release"] == "kps"
    assert pods["spec"]["podMetricsEndpoints"][0]["port"] in ports
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert service["spec"]["ports"][0]["targetPort"] in ports
    assert policy["spec"]["ingress"][0]["ports"][0]["port"] in ports


def test_people_with_the_clusters_roles_may_see_and_change_gateways() -> None:
    """`view` sees them, `edit` and `admin` change and scale them, and nobody may write their status."""
    roles = {role["metadata"]["name"].rpartition("-")[2]: role for role in of_kind(render(), "ClusterRole")}

    assert roles.keys() == {"view", "edit"}
    written = {(rule["resources"][0], verb) for rule in roles["edit"]["rules"] for verb in rule["verbs"]}
    assert {("smtpgateways", "create"), ("smtpgateways", "delete"), ("smtpgateways/scale", "patch")} <= written
    assert {verb for resource, verb in written if resource == "smtpgateways/status"} == {"get"}
    assert {verb for rule in roles["view"]["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert of_kind(render("--set=rbac.aggregateRoles=false"), "ClusterRole") == []


def test_every_value_says_what_it_is_for() -> None:
    """Each value is a row of the chart's README, which is made from the comments."""

    def leaves(value: Any, path: str) -> set[str]:
        if isinstance(value, dict) and value and path != "resources":
            return {leaf for name, inner in value.items() for leaf in leaves(inner, f"{path}.{name}".strip("."))}
        return {path}

    text = (CHART / "values.yaml").read_text()
    assert {one.path for one in values(text)} == leaves(yaml.safe_load(text), "")


@pytest.mark.parametrize(
    "chosen",
    [
        "--set=podMonitor.enabled=true,prometheusRule.enabled=true,networkPolicy.enabled=true,podDisruptionBudget.enabled=true",
        "--set=serviceMonitor.enabled=true,crds.keep=false,crds.enabled=false,rbac.aggregateRoles=false,readNodes=true",
        "--set=serviceAccount.annotations.a=b",
        "--set=test.gateway=mail,test.sender=a@example.com,test.recipient=b@example.com",
    ],
)
def test_what_has_nothing_to_do_with_the_pod_restarts_nothing(chosen: str) -> None:
    """A change of a value that the operator's pod does not use leaves the Deployment as it was."""
    assert of_kind(render(chosen), "Deployment") == of_kind(render(), "Deployment")


def test_another_version_of_the_chart_restarts_nothing_by_itself(tmp_path: Path) -> None:
    """With the image pinned, the pod is the same under the next version of the chart."""
    digest = f"--set=image.digest=sha256:{'0' * 64},gateway.image.digest=sha256:{'1' * 64}"
    helm("package", str(CHART), f"--destination={tmp_path}", "--version=99.0.0", "--app-version=99.0.0")
    (archive,) = tmp_path.glob("*.tgz")

    (now,) = of_kind(render(digest), "Deployment")
    (then,) = of_kind(render(digest, chart=archive), "Deployment")

    assert then["metadata"]["labels"]["app.kubernetes.io/version"] == "99.0.0"
    assert then["spec"] == now["spec"]


@pytest.mark.parametrize("chosen", VALUES, ids=lambda path: path.stem if path else "defaults")
def test_each_pod_is_restricted(chosen: Path | None) -> None:
    """Every pod of the chart is one that the restricted Pod Security standard allows, and asks for what it needs."""
    pods = [one for one in map(pod_of, render(*([f"--values={chosen}"] if chosen else []))) if one]

    assert pods
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {kind for volume in pod["volumes"] for kind in volume} <= {"name", "emptyDir", "configMap"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= container["resources"].keys()


def pod_of(rendered: dict[str, Any]) -> dict[str, Any] | None:
    """Return the specification of the pod that an object is, or makes."""
    spec: dict[str, Any] = rendered.get("spec", {})
    return spec if rendered["kind"] == "Pod" else spec.get("template", {}).get("spec")


def test_the_ci_values_know_every_value() -> None:
    """Each value differs from its default in one of the committed sets, so that each is linted, rendered and checked."""
    changed = [yaml.safe_load(path.read_text()) for path in VALUES if path]

    def differs(one: Value, chosen: Any) -> bool:
        for name in one.path.split("."):
            chosen = chosen.get(name) if isinstance(chosen, dict) else None
        return chosen not in (None, one.default)

    assert [one.path for one in values((CHART / "values.yaml").read_text()) if not any(differs(one, chosen) for chosen in changed)] == []


def test_the_package_holds_what_is_installed_and_nothing_else(tmp_path: Path) -> None:
    """`helm package` leaves the ci values and the suites out, and not the template of `helm test`."""
    helm("package", str(CHART), f"--destination={tmp_path}")
    (archive,) = tmp_path.glob("*.tgz")
    names = subprocess.run(["tar", "-tzf", archive], check=True, capture_output=True, text=True).stdout

    assert f"{CHART.name}/templates/tests/send-mail.yaml" in names
    assert f"{CHART.name}/ci/" not in names
    assert f"{CHART.name}/tests/" not in names
