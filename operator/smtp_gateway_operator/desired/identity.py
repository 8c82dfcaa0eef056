"""The pods' ServiceAccount: an identity without rights and without a token, so that pods do not share the namespace's default one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator import names

if TYPE_CHECKING:
    from smtp_gateway_operator.names import Owner


def service_account(owner: Owner) -> dict[str, Any]:
    """Return the ServiceAccount."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": names.metadata(owner, owner.name),
        "automountServiceAccountToken": False,
    }
