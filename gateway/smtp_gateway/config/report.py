"""What a pod says about itself when the operator asks (`smtp_gateway.admin.report`): the truth that the status is made of.

Both sides read it by this model. What a newer pod says beyond it is ignored and not an error, because a fleet is renewed pod by pod.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict

from smtp_gateway.config.habits import Model

REPLY_LENGTH = 300
"""Characters of a reply that are reported: a paragraph of a status message, of what may be 4,096."""
BESIDE_PORT_25 = (587, 2525)
"""Where the same servers listen for those whose port 25 is blocked: whether they greet there tells a block from a server that is away."""


class Cause(StrEnum):
    """Why a smarthost cannot be used, as one word for programs; the words become reasons of a condition."""

    REFUSED = "Refused"
    """The connection was refused, or closed before a greeting came."""
    TIMEOUT = "Timeout"
    """No answer in time, or no way to the host."""
    NAME_NOT_FOUND = "NameNotFound"
    """Its name has no address, or nobody could say which."""
    TLS_FAILED = "TlsFailed"
    """TLS is asked for and not offered, refused, or failed for another reason than the certificate."""
    CERTIFICATE_INVALID = "CertificateInvalid"
    """Its certificate is not trusted, has expired, or is for another name."""
    AUTHENTICATION_REJECTED = "AuthenticationRejected"
    """It wants credentials, or others than it was given (RFC 4954 section 6)."""
    TOKEN_UNAVAILABLE = "TokenUnavailable"  # noqa: S105 a word about tokens, not one
    """It wants an access token, and the endpoint of its credentials gave none: it could not be asked, or it refused."""
    REJECTED = "Rejected"
    """Any other reply than the one that is needed, or something that is no reply."""
    PORT_25_BLOCKED = "Port25Blocked"
    """Nothing comes back from port 25, and the same host answers on another port: something in between blocks 25, as most clouds do."""


class Said(Model):
    """The habits of a report: as every model, and what is unknown is ignored."""

    model_config = ConfigDict(extra="ignore")


class UpstreamReport(Said):
    """One smarthost of one route, by its last probe."""

    route: str
    host: str
    port: int
    credentials: str = ""
    """The Secret with what it is told in AUTH; empty when that is nothing."""
    reachable: bool | None
    """None while it has not been probed yet."""
    cause: str = ""
    """One of `Cause`; empty when it is reachable."""
    reply: str = ""
    """What it said, or what happened instead, in a sentence of at most `REPLY_LENGTH` characters, without secrets."""
    alternate_port: int | None = None
    """The port that answered in place of `port`, on which nobody did; `reply` tells of both. None when none had to."""
    checked_at: float | None = None
    """When the last probe ended, in seconds since the epoch."""


class RouteReport(Said):
    """What became of the attempts over one route in the last 15 minutes and since nothing waited last, in recipients."""

    name: str
    attempted: int
    """Recipients with an outcome, whatever it was."""
    deferred: int
    """Those of them that will be tried again."""
    paced: int = 0
    """Messages that are due and wait for the route's pace, now."""
    paced_seconds: float = 0.0
    """For how long the first of those has waited."""


class QueueReport(Said):
    """How the queue fares."""

    messages: int
    held: int
    """Messages that a person holds; they are among `messages` and count for nothing else here."""
    oldest: float | None
    """When the oldest message that is not held was accepted, in seconds since the epoch; None when there is none."""
    lateness: float
    """Seconds by which the most overdue message is late that no attempt is under way for, and that does not wait for its pace; 0 when nothing
    is due."""
    damaged: int = 0
    """Messages that were moved aside because their body was damaged: on the volume, and not among `messages`."""


class CertificateReport(Said):
    """The listeners' certificate."""

    not_after: float | None
    """When the certificate in force expires, in seconds since the epoch; None when it does not say so in a way that is understood."""
    problem: str = ""
    """Why a newer pair in the folder could not be used; empty when there is none."""


class PodReport(Said):
    """One pod."""

    pod: str
    version: str
    config_hash: str
    """`smtp_gateway.config.rendered.config_hash` of the configuration in force."""
    config_problem: str = ""
    """Why a newer configuration could not be loaded; empty when there is none."""
    accepting: bool
    """Whether new mail is taken now."""
    draining: bool
    sessions: int = 0
    """Connections that are open now: while it drains, they may still end a transaction, or a TLS handshake."""
    port_25_blocked: bool = False
    """Whether exchangers of several domains give no answer on port 25, and none of any domain does."""
    spool_problem: str = ""
    """Why the spool takes no mail; empty when it does."""
    queue: QueueReport
    routes: tuple[RouteReport, ...] = ()
    upstreams: tuple[UpstreamReport, ...] = ()
    certificate: CertificateReport
