"""What should exist for a gateway: pure builders, typed values in, Kubernetes objects as plain dicts out.

One module per trade. No builder looks at the cluster, the clock or chance, so equal input gives equal objects; what a builder
leaves out is left to the API server's defaults and to others, and never fought over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.desired.certificate import requested_certificates
from smtp_gateway_operator.desired.configuration import config_secrets
from smtp_gateway_operator.desired.disruption import disruption_budget
from smtp_gateway_operator.desired.identity import service_account
from smtp_gateway_operator.desired.monitor import pod_monitors
from smtp_gateway_operator.desired.network import client_service, pods_service
from smtp_gateway_operator.desired.policy import network_policy
from smtp_gateway_operator.desired.trust import trust_bundle
from smtp_gateway_operator.desired.workload import Images, stateful_set
from smtp_gateway_operator.names import Owner
from smtp_gateway_operator.steps.scaling import at_rest

if TYPE_CHECKING:
    from smtp_gateway_operator.spec import Config, SmtpGateway
    from smtp_gateway_operator.steps.scaling import Step

__all__ = ["Images", "children", "owner_of", "pod_monitors", "requested_certificates", "trust_bundle"]


def owner_of(gateway: SmtpGateway) -> Owner:
    """Return *gateway* as the owner of its children."""
    return Owner(gateway.metadata.namespace, gateway.metadata.name, gateway.metadata.uid)


def children(gateway: SmtpGateway, config: Config, images: Images, step: Step | None = None) -> tuple[dict[str, Any], ...]:
    """Return every child but what certificates need, in the order to apply them: what pods need comes before the pods.

    Without any listener, all of them being withheld, there is no Service for clients: Kubernetes has none without a port. *step* is what the StatefulSet should be now; None when all is as the resource says, and nobody is to be renewed. Raises
    `ConfigTooLargeError` when the configuration does not fit its Secrets.
    """
    owner = owner_of(gateway)
    step = step or at_rest(gateway.spec.replicas)
    return (
        service_account(owner),
        *config_secrets(owner, config),
        *((client_service(owner, gateway.spec.listeners, gateway.spec.service),) if gateway.spec.listeners else ()),
        pods_service(owner, gateway.spec.listeners),
        disruption_budget(owner, step.draining),
        *((network_policy(owner, gateway.spec, images.operator_namespace, config.grants),) if gateway.spec.network_policy.enabled else ()),
        stateful_set(owner, gateway.spec, images, step),
    )
