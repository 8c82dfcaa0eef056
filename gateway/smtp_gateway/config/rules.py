"""Rules that hold twice: as CEL in the CRD, where the API server refuses, and here, where `smtp-gateway check` does.

Both say the same sentence. A rule is annotated on a type; `smtp_gateway.config.crd` writes it out as `x-kubernetes-validations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

EXTENSION = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule about one value, or about two values in time."""

    cel: str
    """The rule in CEL; `self` is the value."""
    message: str
    """What a person reads when it does not hold."""
    holds: Callable[[Any], bool] | None = None
    """The same rule in Python; None for a rule that compares with the old value, which only the API server knows."""

    def check(self, value: Any) -> Any:
        """Return *value*. Raises `ValueError` with the message when the rule does not hold for it."""
        if self.holds is not None and not self.holds(value):
            raise ValueError(self.message)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Let pydantic check the rule after the value's own type."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Write the rule beside the value's own schema."""
        written: dict[str, Any] = dict(handler(schema))
        written[EXTENSION] = [*written.get(EXTENSION, []), {"rule": self.cel, "message": self.message}]
        return written
