"""The certificate that the gateway shows to smarthosts, from a Secret of type kubernetes.io/tls. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from smtp_gateway.config import model
from smtp_gateway.config.certificate import Pair, belongs, certificates_in
from smtp_gateway.config.resource.translation import SecretContentError, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping

CERTIFICATE_KEY, PRIVATE_KEY = "tls.crt", "tls.key"


def client_certificate_of(secret: Mapping[str, Any]) -> model.ClientCertificate:
    """Return the certificate, and those behind it, with its key in *secret*, a Secret object as the API server gives it.

    Raises `SecretContentError` for what pods could not show: one of the two missing or unreadable, another's key, a passphrase.
    """
    name, values = secret["metadata"]["name"], values_of(secret, (CERTIFICATE_KEY, PRIVATE_KEY))
    missing = [key for key in (CERTIFICATE_KEY, PRIVATE_KEY) if not values.get(key)]
    if missing:
        message = f"Secret {name} has no {' and no '.join(missing)}, which a client certificate needs"
        raise SecretContentError(message)
    chain, key = certificates_in(values[CERTIFICATE_KEY].encode()), values[PRIVATE_KEY]
    if not belongs(Pair(chain, key.encode())):
        message = (
            f"Secret {name} has no usable client certificate: {PRIVATE_KEY} is not the key, without a passphrase, of {CERTIFICATE_KEY}"
        )
        raise SecretContentError(message)
    return model.ClientCertificate(identity=name, chain=chain.decode("ascii"), key=SecretStr(key))
