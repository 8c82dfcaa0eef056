"""What all models of the configuration and of the resource have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """The habits of every model here: frozen, nothing unknown, camelCase as in Kubernetes, no value in an error, which may be a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True)
