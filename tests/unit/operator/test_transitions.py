"""Events: one for each step that is worth telling, none for what stays the same."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_gateway_operator.status.transitions import Transition, event_of, transitions
from tests.unit.operator.setting import NOW, resource

READY = {"Ready": ("True", "PodsReady"), "Progressing": ("False", "Complete")}
STARTING = {"Ready": ("False", "PodsNotReady"), "Progressing": ("True", "RollingOut")}
MISSING = {"Ready": ("False", "SecretNotFound"), "Progressing": ("False", "Waiting"), "ReferencesResolved": ("False", "SecretNotFound")}
RESOLVED = {"Ready": ("False", "PodsNotReady"), "Progressing": ("True", "RollingOut"), "ReferencesResolved": ("True", "Resolved")}
INVALID = {"ConfigValid": ("False", "Invalid")}
CONFLICT = {"Progressing": ("False", "OwnershipConflict")}
REACHABLE = {"UpstreamReachable": ("True", "Reachable")}
REFUSED = {"UpstreamReachable": ("False", "ConnectionRefused")}
ENDING = {"CertificateValid": ("True", "ExpiresWithin30Days")}
REJECTED = {"Progressing": ("False", "Rejected")}


def status(conditions: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Return a status with these conditions."""
    return {"conditions": [{"type": name, "status": held, "reason": why, "message": why} for name, (held, why) in conditions.items()]}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, STARTING, []),
        (STARTING, STARTING, []),
        ({}, READY, [("Normal", "Ready")]),
        (STARTING, READY, [("Normal", "Ready")]),
        (READY, READY, []),
        (READY, STARTING, [("Warning", "NotReady")]),
        ({}, MISSING, [("Warning", "SecretNotFound")]),
        (MISSING, MISSING, []),
        (MISSING, RESOLVED, [("Normal", "Resolved")]),
        (MISSING, MISSING | {"ReferencesResolved": ("False", "SecretInvalid")}, [("Warning", "SecretInvalid")]),
        ({}, INVALID, [("Warning", "Invalid")]),
        (INVALID, {"ConfigValid": ("True", "Valid")}, [("Normal", "Valid")]),
        ({}, CONFLICT, [("Warning", "OwnershipConflict")]),
        (CONFLICT, REJECTED, [("Warning", "Rejected")]),
        (CONFLICT, {"Progressing": ("True", "RollingOut")}, [("Normal", "RollingOut")]),
        ({"Progressing": ("True", "RollingOut")}, {"Progressing": ("False", "Complete")}, []),
        ({}, {"ReferencesResolved": ("Unknown", "ConfigInvalid")}, []),
        (CONFLICT, {"Progressing": ("False", "Waiting")}, []),
        ({}, REACHABLE, [("Normal", "Reachable")]),
        (REACHABLE, REFUSED, [("Warning", "ConnectionRefused")]),
        (REFUSED, {"UpstreamReachable": ("False", "TLSFailed")}, [("Warning", "TLSFailed")]),
        (REFUSED, {"UpstreamReachable": ("Unknown", "NotProbed")}, []),
        (REFUSED, {"UpstreamReachable": ("True", "NoSmarthosts")}, [("Normal", "NoSmarthosts")]),
        ({"UpstreamReachable": ("Unknown", "NotProbed")}, REACHABLE, [("Normal", "Reachable")]),
        (REACHABLE, {"UpstreamReachable": ("True", "PartlyReachable")}, [("Warning", "PartlyReachable")]),
        ({"CertificateValid": ("True", "Valid")}, ENDING, [("Normal", "ExpiresWithin30Days")]),
        (ENDING, ENDING, []),
        (ENDING, {"CertificateValid": ("True", "ExpiresWithin7Days")}, [("Warning", "ExpiresWithin7Days")]),
        ({"CertificateValid": ("True", "ExpiresWithin7Days")}, {"CertificateValid": ("True", "Valid")}, [("Normal", "Valid")]),
        (READY, READY | {"Ready": ("Unknown", "LoadingConfiguration")}, []),
        (READY | {"Ready": ("Unknown", "NoReport")}, READY | {"Ready": ("False", "Expired")}, [("Warning", "NotReady")]),
    ],
)
def test_what_is_told(before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]], told: list[tuple[str, str]]) -> None:
    """The table of steps and their Events."""
    assert [(one.type, one.reason) for one in transitions(status(before), status(after))] == told


def test_an_event_names_the_very_object() -> None:
    """`kubectl describe` finds Events by the uid of what they are about."""
    body = resource()
    body["metadata"] |= {"uid": "uid-1", "resourceVersion": "7"}

    event = event_of(body, Transition("Warning", "NotReady", "0 of 1 pods ready"), NOW)

    assert event["involvedObject"]["uid"] == "uid-1"
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "NotReady", "0 of 1 pods ready")
    assert event["metadata"] == {"generateName": "mail.", "namespace": "apps"}
    assert event["firstTimestamp"] == "2026-03-01T12:00:00Z"
