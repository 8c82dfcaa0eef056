"""Every condition and reason, what it means and what to do: the source of `docs/operations.md` and of what is worth an Event.

`python -m smtp_gateway_operator.status.catalogue` prints it as Markdown.
"""

from __future__ import annotations

from dataclasses import dataclass

from smtp_gateway_operator.status.reasons import (
    CERTIFICATE_VALID,
    CONFIG_VALID,
    OPEN_RELAY_RISK,
    PROGRESSING,
    QUEUE_HEALTHY,
    READY,
    REFERENCES_RESOLVED,
    UPSTREAM_REACHABLE,
    Reason,
)

NORMAL = "Normal"
WARNING = "Warning"
NONE = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One way in which a condition can be."""

    condition: str
    status: str
    reason: Reason
    event: str
    """The type of the Event when the condition comes to have this reason: Normal, Warning, or empty when there is none."""
    meaning: str
    remedy: str
    """What to do; empty when there is nothing to do."""


CONDITIONS = {
    READY: "Everything is as wanted, and mail gets through: the one for `kubectl wait --for=condition=Ready`. It is False when the pods or any condition below is, or when OpenRelayRisk is True, and Unknown when one cannot be told.",
    PROGRESSING: "Something is being changed. False means settled, or stuck; the reason says which.",
    CONFIG_VALID: "The resource can be rendered, and the pods can load it.",
    REFERENCES_RESOLVED: "Every Secret that the resource names exists and holds what it should.",
    CERTIFICATE_VALID: "The certificate that clients are shown is good. Asked of the pods, which may show another one than the Secret holds.",
    UPSTREAM_REACHABLE: "Every pod can reach a smarthost of every route: it connects, encrypts and logs in as it would for mail, and sends none.",
    QUEUE_HEALTHY: "Mail leaves when it is due.",
    OPEN_RELAY_RISK: "A listener without a login might relay for strangers: True is bad here. Such a listener is withheld, with its port of the Service, of the pods and of the NetworkPolicy, until each risk is acknowledged by its name in the listener's `acknowledgedRisks`; the other listeners serve on. When none is left there is no Service, and pods only deliver what they have. See relay.md.",
}
"""What each condition says when it is True, in the order in which they are shown."""

_SEE_MESSAGE = "The message names the route, the upstream, its reply and the pods that saw it."

CATALOGUE = (
    Entry(READY, "True", Reason.PODS_READY, NONE, "Every pod is ready, and every condition holds.", ""),
    Entry(READY, "True", Reason.SCALED_TO_ZERO, NONE, "There are no pods, as wanted. No mail is accepted or delivered; volumes are kept.", "Set `spec.replicas` to have mail flow again."),
    Entry(READY, "False", Reason.PODS_NOT_READY, NONE, "Pods are missing, of an older version, or not ready.", "The message says which pods, and what keeps them; then `kubectl describe pod`."),
    Entry(READY, "Unknown", Reason.LOADING_CONFIGURATION, NONE, "Pods are about to load a changed configuration.", "Nothing, for some seconds; `kubectl wait` waits for it."),
    Entry(PROGRESSING, "False", Reason.COMPLETE, NONE, "Every object and every pod is as wanted.", ""),
    Entry(PROGRESSING, "True", Reason.ROLLING_OUT, NONE, "Pods are being made, replaced or started.", ""),
    Entry(PROGRESSING, "True", Reason.DRAINING, NORMAL, "The fleet is being scaled in, and pods that go still have mail, held mail included, or do not say. They take no new mail.", "Nothing, if the message names no trouble. Held mail waits for `smtp-gateway queue release` or `queue remove`. Scaling out again cancels it. A pod that will never answer again is given up by an annotation of its volume claim. See [Scaling, rollouts and volumes](scaling.md)."),
    Entry(PROGRESSING, "False", Reason.ROLLOUT_STALLED, WARNING, "A pod has not become ready for ten minutes, or for one in which its container could not be started; or it should have ended a minute ago. Other pods are not renewed before it is.", "The message is the pod's own. Correct what it names, or take the change back: the pod is then replaced again, and its queue stays on its volume. A queue that was written by a newer version wants that version again: [Go back](upgrading.md#go-back). If its node is not ready, see [A node that is lost](scaling.md#a-node-that-is-lost)."),
    Entry(PROGRESSING, "False", Reason.VOLUME_UNREACHABLE, WARNING, "For a minute a pod could not run where its volume is: the node of the volume is drained, not ready, or gone. What is queued there waits for it; the message has the claim, and how much it held by its last count.", "`kubectl uncordon` the node, or mend it. If it is lost for good, so is what its volume held: [A node that is lost](scaling.md#a-node-that-is-lost) says how the pod gets a new one."),
    Entry(PROGRESSING, "True", Reason.LOADING_CONFIGURATION, NONE, "Pods are about to load a changed configuration, usually within five seconds and without a restart.", ""),
    Entry(PROGRESSING, "True", Reason.RESIZING_VOLUMES, NORMAL, "`spec.spool.volume.size` was raised, and volumes are not yet as large. Pods run on meanwhile.", "Nothing, for as long as the storage takes. A volume that says `FileSystemResizePending` for long grows when its pod is deleted and comes back."),
    Entry(PROGRESSING, "True", Reason.WAITING_FOR_DELETION, NONE, "Objects of a deleted gateway of the same name are still there.", "Wait; they go with it. If they do not, look for their finalizers."),
    Entry(PROGRESSING, "False", Reason.CONFIGURATION_NOT_LOADED, WARNING, "For three minutes pods have not loaded the changed configuration, although their volumes were refreshed again and again.", "Look at the kubelet of the pods' nodes. A pod that is deleted comes back with the new configuration and keeps its queue."),
    Entry(PROGRESSING, "False", Reason.VOLUMES_CANNOT_GROW, WARNING, "`spec.spool.volume.size` was raised, and the API server does not let the volumes grow. Everything else goes on; volumes made from now on have the new size.", "The message is the API server's own. Volumes grow where their StorageClass says `allowVolumeExpansion: true`; it is tried again every five minutes. Otherwise see [Larger volumes](scaling.md#larger-volumes), or set the size back."),
    Entry(PROGRESSING, "False", Reason.VOLUMES_CANNOT_SHRINK, WARNING, "`spec.spool.volume.size` is less than volumes have, and volumes never shrink. Everything else goes on; volumes made from now on have the new size.", "Set the size back, or see [Larger volumes](scaling.md#larger-volumes) for making volumes anew."),
    Entry(PROGRESSING, "False", Reason.WAITING, NONE, "Nothing is changed before another condition is True.", "See the condition that the message names."),
    Entry(PROGRESSING, "False", Reason.PAUSED, WARNING, "`spec.paused` is true: pods run on as they are, changes and renewals wait.", "Set `spec.paused` to false to have them brought about."),
    Entry(PROGRESSING, "False", Reason.OWNERSHIP_CONFLICT, WARNING, "An object that belongs to somebody else has the name of one of the gateway's.", "Rename or delete that object, or give the gateway another name."),
    Entry(PROGRESSING, "False", Reason.AUTHORITY_DAMAGED, WARNING, "The Secret with the gateway's certificate authority cannot be used.", "Restore it from a backup. Deleting it makes a new authority, which clients must then trust."),
    Entry(PROGRESSING, "False", Reason.FORBIDDEN, WARNING, "The API server does not let the operator do something: missing rights, a quota or a policy.", "The message is the API server's own; compare the operator's role with the chart's."),
    Entry(PROGRESSING, "False", Reason.REJECTED, WARNING, "The API server finds an object invalid, or a field of it cannot be changed.", "The message is the API server's own."),
    Entry(CONFIG_VALID, "True", Reason.VALID, NONE, "The resource can be rendered.", ""),
    Entry(CONFIG_VALID, "False", Reason.INVALID, WARNING, "The resource cannot be understood. Pods go on with the configuration before.", "Correct the field that the message names. For a field that is right (`Extra inputs are not permitted`), the custom resource definition is newer than the operator: upgrade the operator. Until then nothing is changed, because the field may be a restriction."),
    Entry(CONFIG_VALID, "False", Reason.TOO_LARGE, WARNING, "The configuration does not fit the Secrets that hold it. Pods go on with the one before.", "Spread logins over several gateways."),
    Entry(CONFIG_VALID, "False", Reason.NOT_LOADABLE, WARNING, "Pods refuse the configuration and go on with the one before.", "The message is the pods' own. A gateway image of another version than the operator's is the usual cause. Pods that a rollout is about to replace are not counted unless it is stuck."),
    Entry(REFERENCES_RESOLVED, "True", Reason.RESOLVED, NONE, "Every Secret was found.", ""),
    Entry(REFERENCES_RESOLVED, "Unknown", Reason.CONFIG_INVALID, NONE, "Not looked at, because the resource is not valid.", "See ConfigValid."),
    Entry(REFERENCES_RESOLVED, "False", Reason.SECRET_NOT_FOUND, WARNING, "A Secret is missing. Nothing is changed before it is there; certificates of the operator's own are renewed all the same.", "Create the Secret that the message names, in the gateway's namespace."),
    Entry(REFERENCES_RESOLVED, "False", Reason.SECRET_INVALID, WARNING, "A Secret does not hold what it should.", "The message names the Secret and the key."),
    Entry(REFERENCES_RESOLVED, "False", Reason.SECRET_FORBIDDEN, WARNING, "The operator may not read a Secret.", "Compare the operator's role with the chart's."),
    Entry(REFERENCES_RESOLVED, "False", Reason.LOGINS_CONFLICT, WARNING, "Two Secrets hold the same login.", "Remove it from one of the Secrets that the message names."),
    Entry(REFERENCES_RESOLVED, "False", Reason.CERT_MANAGER_ABSENT, WARNING, "A certificate is wanted from cert-manager, whose kinds the API server does not know.", "Install cert-manager, and the gateway goes on by itself; or choose another certificate in spec.tls."),
    Entry(REFERENCES_RESOLVED, "False", Reason.CERTIFICATE_PENDING, WARNING, "cert-manager has not issued the certificate. Nothing is changed before it is there.", "The message is cert-manager's own; `kubectl describe certificate` says more."),
    Entry(CERTIFICATE_VALID, "True", Reason.VALID, NONE, "The certificate is good for longer than 30 days, or the operator's own and about to be renewed.", ""),
    Entry(CERTIFICATE_VALID, "True", Reason.EXPIRES_WITHIN_A_MONTH, NORMAL, "The user's certificate ends within 30 days.", "Nothing if something renews it; otherwise put a new pair into the Secret."),
    Entry(CERTIFICATE_VALID, "True", Reason.EXPIRES_WITHIN_A_WEEK, WARNING, "The certificate ends within 7 days, so its renewal has failed.", "Put a new pair into the Secret; pods show it within two minutes. For one of the operator's own see Progressing."),
    Entry(CERTIFICATE_VALID, "True", Reason.EXPIRES_WITHIN_A_DAY, WARNING, "The certificate ends within a day.", "As above, today."),
    Entry(CERTIFICATE_VALID, "False", Reason.EXPIRED, WARNING, "The certificate has ended; clients that check refuse to send.", "Put a new pair into the Secret."),
    Entry(CERTIFICATE_VALID, "False", Reason.NEW_PAIR_UNUSABLE, WARNING, "The Secret was changed, and what it holds is not a certificate with its key. The pair before stays in force.", "Put a matching pair into the Secret; the message says what is wrong."),
    Entry(UPSTREAM_REACHABLE, "True", Reason.REACHABLE, NORMAL, "Every pod reaches every smarthost.", ""),
    Entry(UPSTREAM_REACHABLE, "True", Reason.PORT_25_BLOCKED_TO_MX, WARNING, "Mail straight to the recipients' MX does not leave: the exchangers of several domains give no answer on port 25, and those of no domain do. Smarthosts are reached. MX are not counted, so Ready stays as it is.", "Most clouds block port 25. Relay that mail through a smarthost on 587, 465 or 2525, or have the provider open the port."),
    Entry(UPSTREAM_REACHABLE, "True", Reason.PARTLY_REACHABLE, WARNING, "Every route has a smarthost that works, and some smarthosts do not.", _SEE_MESSAGE),
    Entry(UPSTREAM_REACHABLE, "True", Reason.ALTERNATE_PORT, NONE, "Every smarthost is reached, but some not on their first port: mail goes to one of their `alternatePorts`.", f"{_SEE_MESSAGE} Where port 25 is blocked for good, name the other port first, which saves the probes' waiting for it."),
    Entry(UPSTREAM_REACHABLE, "True", Reason.NO_SMARTHOSTS, NONE, "Mail goes straight to the recipients' MX, which are not judged.", ""),
    Entry(UPSTREAM_REACHABLE, "Unknown", Reason.NOT_PROBED, NONE, "Not every smarthost has been tried yet; a matter of seconds.", ""),
    Entry(UPSTREAM_REACHABLE, "Unknown", Reason.CONFIG_INVALID, NONE, "Not judged, because the resource is not valid.", "See ConfigValid."),
    Entry(UPSTREAM_REACHABLE, "False", Reason.CONNECTION_REFUSED, WARNING, "Nobody listens on the upstream's port.", f"{_SEE_MESSAGE} Compare host and port with the provider's documentation."),
    Entry(UPSTREAM_REACHABLE, "False", Reason.CONNECTION_TIMED_OUT, WARNING, "The upstream does not answer: a firewall or a NetworkPolicy drops packets, or the host is down.", f"{_SEE_MESSAGE} Try the provider's alternative port."),
    Entry(UPSTREAM_REACHABLE, "False", Reason.NAME_NOT_FOUND, WARNING, "The upstream's name cannot be resolved.", f"{_SEE_MESSAGE} Correct the host, or look at the cluster's DNS."),
    Entry(UPSTREAM_REACHABLE, "False", Reason.TLS_FAILED, WARNING, "No encrypted connection comes about: the upstream does not offer STARTTLS, or the handshake fails.", f"{_SEE_MESSAGE} See `tls` of the smarthost."),
    Entry(UPSTREAM_REACHABLE, "False", Reason.CERTIFICATE_INVALID, WARNING, "The upstream's certificate is not valid for its name, or nobody trusted vouches for it.", f"{_SEE_MESSAGE} Use the name that the certificate is for."),
    Entry(UPSTREAM_REACHABLE, "False", Reason.AUTHENTICATION_REJECTED, WARNING, "The upstream does not accept the login.", f"{_SEE_MESSAGE} Correct the Secret of the credentials; no restart is needed."),
    Entry(UPSTREAM_REACHABLE, "False", Reason.TOKEN_UNAVAILABLE, WARNING, "The upstream wants an access token, and the token endpoint gives none.", f"{_SEE_MESSAGE} It quotes the endpoint: has the client secret expired, may pods connect to the endpoint? See oauth2.md; no restart is needed."),
    Entry(UPSTREAM_REACHABLE, "False", Reason.REJECTED_BY_UPSTREAM, WARNING, "The upstream answers, and refuses.", _SEE_MESSAGE),
    Entry(UPSTREAM_REACHABLE, "False", Reason.PORT_25_BLOCKED, WARNING, "Connections to port 25 fail everywhere while others work: the network blocks it, as most clouds do.", "Use a smarthost on 587, 465 or 2525, or have the provider open port 25."),
    Entry(QUEUE_HEALTHY, "True", Reason.ON_TIME, NONE, "Mail leaves when it is due.", ""),
    Entry(QUEUE_HEALTHY, "True", Reason.DEFERRALS_TO_MX, NONE, "More than half of the attempts to recipients' MX are put off. That is theirs to mend, and is not counted.", "If it is all of them, look at the sender's reputation and at port 25."),
    Entry(QUEUE_HEALTHY, "True", Reason.PACED, NORMAL, "Mail has waited for more than five minutes for the pace of its route, or for a next hop that asked for less. It is neither late nor deferred. OnTime again below two and a half.", "Nothing, if it gets less by itself. Otherwise more arrives than may leave: have the provider raise its limits, then `pacing`; see pacing.md."),
    Entry(QUEUE_HEALTHY, "False", Reason.OVERDUE, WARNING, "Mail that is due waits for more than five minutes: the pod does not keep up. True again below two and a half.", "More replicas, more CPU, or a next hop that takes more connections."),
    Entry(QUEUE_HEALTHY, "False", Reason.DEFERRALS_HIGH, WARNING, "More than half of at least 20 attempts of the last 15 minutes on a route with smarthosts were put off. True again below a quarter, without attempts, or once nothing waits.", "`kubectl exec POD -- smtp-gateway queue list` shows the replies; usually the provider's rate limit."),
    Entry(QUEUE_HEALTHY, "False", Reason.SPOOL_UNUSABLE, WARNING, "A pod cannot keep mail: its volume is full or broken. Clients are told to come again.", "The message is the pod's own. Deliveries make room; `spec.spool.volume.size` can be raised."),
    Entry(OPEN_RELAY_RISK, "False", Reason.NO_RISK, NONE, "Clients log in, or are trusted by networks of which no risk is known.", ""),
    Entry(OPEN_RELAY_RISK, "False", Reason.ACKNOWLEDGED, NONE, "Every risk was acknowledged in the resource.", "The message names them; is each still wanted?"),
    Entry(OPEN_RELAY_RISK, "Unknown", Reason.NOT_CHECKED, NONE, "The operator may not read nodes, so it cannot tell whether allowed networks hold addresses of nodes or pods. The listener is open.", "Install the chart with `readNodes: true`, or acknowledge ClusterAddresses."),
    Entry(OPEN_RELAY_RISK, "Unknown", Reason.CONFIG_INVALID, NONE, "Not judged, because the resource is not valid.", "See ConfigValid."),
    Entry(OPEN_RELAY_RISK, "True", Reason.WIDE_NETWORK, WARNING, "A network of clients, or of proxies that say who the client is, is wider than /24, or /64 of IPv6.", "Name the networks of the clients and proxies, or their addresses; or acknowledge WideNetwork."),
    Entry(OPEN_RELAY_RISK, "True", Reason.CLUSTER_ADDRESSES, WARNING, "A network of clients, or of proxies that say who the client is, holds addresses of nodes or pods, which clients from anywhere have behind source NAT, and every workload of the cluster.", "Let applications log in; or acknowledge ClusterAddresses."),
    Entry(OPEN_RELAY_RISK, "True", Reason.SOURCE_NAT, WARNING, "The Service hides the clients' addresses, so that strangers may have one of an allowed network.", "Set `spec.service.externalTrafficPolicy: Local`, or let the load balancer say who the client is (`proxyProtocol`); or acknowledge SourceNAT."),
    *(
        Entry(condition, "Unknown", reason, NONE, meaning, remedy)
        for condition in (CERTIFICATE_VALID, UPSTREAM_REACHABLE, QUEUE_HEALTHY)
        for reason, meaning, remedy in (
            (Reason.NO_PODS, "No pod runs that could be asked.", "See Ready."),
            (Reason.NO_REPORT, "A pod does not answer the operator, and did not for a minute.", "The message says why. Does a NetworkPolicy let the operator reach port 8443 of the pods?"),
        )
    ),
)  # fmt: skip
"""Reasons of Ready that come from another condition are listed there alone."""

_BY_REASON = {(entry.condition, entry.reason): entry for entry in CATALOGUE}

NOT_READY = "NotReady"
MADE_ANEW = "MadeAnew"
EVENTS = (
    (NORMAL, READY, "Ready has become True."),
    (WARNING, NOT_READY, "Ready has become False. The message says why."),
    (NORMAL, MADE_ANEW, "A field of a child cannot be changed, so the child was deleted and made again. Pods and volumes stay."),
)
"""Events about Ready itself, and about children; all the others have the reason of the condition that they are about."""


def event_type(condition: str, reason: str) -> str:
    """Return the type of the Event when *condition* comes to have *reason*; empty when there is none, as for reasons of newer versions."""
    known = {str(each) for each in Reason}
    entry = _BY_REASON.get((condition, Reason(reason))) if reason in known else None
    return entry.event if entry else NONE


def documentation() -> str:
    """Return the catalogue as Markdown."""
    lines = [_INTRODUCTION]
    for condition, meaning in CONDITIONS.items():
        rows = [_row(entry) for entry in CATALOGUE if entry.condition == condition]
        lines += [
            f"## {condition}",
            "",
            meaning,
            "",
            "| status | reason | Event | what it means | what to do |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    lines += ["## Events about Ready", "", "| type | reason | meaning |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {kind} | `{reason}` | {meaning} |" for kind, reason, meaning in EVENTS), ""])


def _row(entry: Entry) -> str:
    return f"| {entry.status} | `{entry.reason}` | {entry.event} | {entry.meaning} | {entry.remedy} |"


_INTRODUCTION = """\
# Operations

Produced from the operator's own tables by `make docs`.

`kubectl get smtpgw` says whether mail gets through, `kubectl get smtpgw -o wide` why not, and `kubectl describe smtpgw NAME` reads like a diagnosis: conditions with the reason in one word and the cause in a sentence, and the Events of what changed. The operator asks every pod every 15 seconds, and right after each change.

- A condition's `lastTransitionTime` moves only when its status does. An Event is written when a condition comes to have another reason, never for what stays as it is; when a Warning's cause is gone there is a Normal one with the new reason.
- A pod that does not answer counts with its last report for a minute, and a smarthost that was reachable as it did until two probes in a row failed, or came through by another of its ports. What was unhealthy is healthy again at half the limit.
- `status.queue` is written with a condition's change, else at most once a minute and when it moved by more than a tenth. `status.configuration` says which configuration the pods should run, and how many do.
"""


if __name__ == "__main__":
    print(documentation(), end="")  # noqa: T201 printing is what this is run for
