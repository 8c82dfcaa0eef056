"""What a pod says to the operator, as JSON between two versions."""

from __future__ import annotations

from smtp_gateway import usage
from smtp_gateway.config import resource
from smtp_gateway.config.report import CertificateReport, PodReport, QueueReport, UpstreamReport

REPORT = PodReport(
    pod="mail-0",
    version="1.2.3",
    config_hash="0" * 64,
    accepting=True,
    draining=False,
    queue=QueueReport(messages=2, held=1, oldest=1.5, lateness=0.0),
    upstreams=(UpstreamReport(route="default", host="mx.example", port=25, reachable=None),),
    certificate=CertificateReport(not_after=2.5),
)


def test_a_report_survives_its_way() -> None:
    """It is camelCase JSON, as everything in Kubernetes, and the same value afterwards."""
    said = REPORT.model_dump_json(by_alias=True)

    assert '"configHash":"000' in said
    assert PodReport.model_validate_json(said) == REPORT


def test_what_a_newer_pod_says_beyond_it_is_ignored() -> None:
    """A fleet is renewed pod by pod, so the operator hears of things that it does not know."""
    said = REPORT.model_dump_json(by_alias=True).replace('"held":1', '"held":1,"news":true')

    assert PodReport.model_validate_json(said) == REPORT


def test_the_command_line_and_the_operator_mean_the_same_ports() -> None:
    """The numbers stand in two modules, because a command must start without loading the models."""
    assert (usage.HTTP_PORT, usage.ADMIN_PORT) == (resource.HTTP_PORT, resource.ADMIN_PORT)
