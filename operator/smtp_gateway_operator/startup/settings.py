"""kopf's settings: each one that differs from its default, and why."""

from __future__ import annotations

import kopf

from smtp_gateway_operator.cluster.api import WATCHED_KINDS
from smtp_gateway_operator.names import MANAGED_BY_LABEL, OPERATOR
from smtp_gateway_operator.spec import GROUP


def kopf_settings() -> kopf.OperatorSettings:
    """Return the settings, the same for one namespace, a few, or all of them."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    # Looking for new namespaces and kinds needs rights that nothing else does. The start waits for the resource's definition itself.
    settings.scanning.disabled = True
    # Connections die silently behind some load balancers: end each watch ourselves, before they do (kopf issues 585, 698, 1120).
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 30
    settings.watching.reconnect_backoff = 1
    # Server-side, so that other people's pods and Secrets never reach this process.
    for kind in WATCHED_KINDS:
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = f"{MANAGED_BY_LABEL}={OPERATOR}"
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.posting.enabled = False
    # Never used, as only event handlers are registered; named after our group in case a later one forgets that.
    settings.persistence.finalizer = f"{GROUP}/operator"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    # Below the 30 seconds that Kubernetes gives a pod by default.
    settings.process.ultimate_exiting_timeout = 25
    return settings
