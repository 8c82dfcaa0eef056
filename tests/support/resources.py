"""Resources and Secrets as the models read them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import ValidationError

from smtp_gateway.config.resource import SmtpGateway
from smtp_gateway.config.sentences import sentence_of


def gateway(**spec: Any) -> SmtpGateway:
    """Return a valid gateway with *spec* changed."""
    return SmtpGateway.model_validate({"metadata": {"name": "mail"}, "spec": {"hostname": "mail.example.com"} | spec})


def refusal(**spec: Any) -> str:
    """Return the sentence that refuses *spec*."""
    with pytest.raises(ValidationError) as refused:
        gateway(**spec)
    return sentence_of(refused.value)


def secret(data: dict[str, bytes], kind: str = "Opaque") -> dict[str, Any]:
    """Return a Secret as the API server gives it."""
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"metadata": {"name": "app-logins"}, "type": kind, "data": encoded}
