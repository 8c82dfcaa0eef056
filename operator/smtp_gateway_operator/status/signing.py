"""The DNS records that publish the keys of DKIM: receivers believe no signature before they find its record. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway_operator.spec import signing_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smtp_gateway_operator.spec import DkimKey

Records = tuple[dict[str, Any], ...]


def records(keys: Iterable[DkimKey]) -> Records:
    """Return what the status says of *keys*: where the public half of each belongs, and what is to be there."""
    return tuple(_record(one) for one in keys)


def _record(configured: DkimKey) -> dict[str, Any]:
    key = signing_keys.read(configured.private_key.get_secret_value().encode())
    return {
        "domain": configured.domain,
        "selector": configured.selector,
        "key": signing_keys.described(key),
        "recordName": signing_keys.record_name(configured.domain, configured.selector),
        "record": signing_keys.record(key),
    }
