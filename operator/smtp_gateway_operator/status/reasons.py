"""The words that conditions and Events use: every condition's type, and every reason that there is.

What each means, and what to do about it, is in `smtp_gateway_operator.status.catalogue`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

READY = "Ready"
PROGRESSING = "Progressing"
CONFIG_VALID = "ConfigValid"
REFERENCES_RESOLVED = "ReferencesResolved"
CERTIFICATE_VALID = "CertificateValid"
UPSTREAM_REACHABLE = "UpstreamReachable"
QUEUE_HEALTHY = "QueueHealthy"
OPEN_RELAY_RISK = "OpenRelayRisk"
"""The only condition of which True is the bad answer."""


class Reason(StrEnum):
    """Why a condition has its status, in one word."""

    ACKNOWLEDGED = "Acknowledged"
    AUTHENTICATION_REJECTED = "AuthenticationRejected"
    AUTHORITY_DAMAGED = "AuthorityDamaged"
    CERTIFICATE_INVALID = "CertificateInvalid"
    CERTIFICATE_PENDING = "CertificatePending"
    CERT_MANAGER_ABSENT = "CertManagerAbsent"
    CLUSTER_ADDRESSES = "ClusterAddresses"
    COMPLETE = "Complete"
    CONFIG_INVALID = "ConfigInvalid"
    CONFIGURATION_NOT_LOADED = "ConfigurationNotLoaded"
    CONNECTION_REFUSED = "ConnectionRefused"
    CONNECTION_TIMED_OUT = "ConnectionTimedOut"
    DEFERRALS_HIGH = "DeferralsHigh"
    DEFERRALS_TO_MX = "DeferralsToMX"
    DRAINING = "Draining"
    EXPIRED = "Expired"
    EXPIRES_WITHIN_A_DAY = "ExpiresWithin1Day"
    EXPIRES_WITHIN_A_MONTH = "ExpiresWithin30Days"
    EXPIRES_WITHIN_A_WEEK = "ExpiresWithin7Days"
    FORBIDDEN = "Forbidden"
    INVALID = "Invalid"
    LOADING_CONFIGURATION = "LoadingConfiguration"
    LOGINS_CONFLICT = "LoginsConflict"
    NAME_NOT_FOUND = "NameNotFound"
    NEW_PAIR_UNUSABLE = "NewPairUnusable"
    NO_PODS = "NoPods"
    NO_REPORT = "NoReport"
    NO_RISK = "NoRisk"
    NO_SMARTHOSTS = "NoSmarthosts"
    NOT_CHECKED = "NotChecked"
    NOT_LOADABLE = "NotLoadable"
    NOT_PROBED = "NotProbed"
    ON_TIME = "OnTime"
    OVERDUE = "Overdue"
    OWNERSHIP_CONFLICT = "OwnershipConflict"
    PACED = "Paced"
    PARTLY_REACHABLE = "PartlyReachable"
    ALTERNATE_PORT = "AlternatePort"
    PAUSED = "Paused"
    PODS_NOT_READY = "PodsNotReady"
    PODS_READY = "PodsReady"
    PORT_25_BLOCKED = "Port25Blocked"
    PORT_25_BLOCKED_TO_MX = "Port25BlockedToMX"
    REACHABLE = "Reachable"
    REJECTED = "Rejected"
    REJECTED_BY_UPSTREAM = "RejectedByUpstream"
    RESIZING_VOLUMES = "ResizingVolumes"
    RESOLVED = "Resolved"
    ROLLING_OUT = "RollingOut"
    ROLLOUT_STALLED = "RolloutStalled"
    SCALED_TO_ZERO = "ScaledToZero"
    SECRET_FORBIDDEN = "SecretForbidden"  # noqa: S105 a word about a Secret, not one
    SECRET_INVALID = "SecretInvalid"  # noqa: S105 a word about a Secret, not one
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 a word about a Secret, not one
    SOURCE_NAT = "SourceNAT"
    SPOOL_UNUSABLE = "SpoolUnusable"
    TLS_FAILED = "TLSFailed"
    TOKEN_UNAVAILABLE = "TokenUnavailable"  # noqa: S105 a word about tokens, not one
    TOO_LARGE = "TooLarge"
    VALID = "Valid"
    VOLUME_UNREACHABLE = "VolumeUnreachable"
    VOLUMES_CANNOT_GROW = "VolumesCannotGrow"
    VOLUMES_CANNOT_SHRINK = "VolumesCannotShrink"
    WAITING = "Waiting"
    WAITING_FOR_DELETION = "WaitingForDeletion"
    WIDE_NETWORK = "WideNetwork"


class Judged(NamedTuple):
    """One condition's judgement."""

    status: str
    """True, False or Unknown."""
    reason: Reason
    message: str


def true(reason: Reason, message: str) -> Judged:
    """Return the judgement that the condition holds."""
    return Judged("True", reason, message)


def false(reason: Reason, message: str) -> Judged:
    """Return the judgement that the condition does not hold."""
    return Judged("False", reason, message)


def unknown(reason: Reason, message: str) -> Judged:
    """Return the judgement that nobody can tell."""
    return Judged("Unknown", reason, message)
