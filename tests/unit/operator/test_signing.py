"""Keys that sign mail, as the operator hands them on: into the configuration, and their public halves into the status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from smtp_gateway.config import signing_keys
from smtp_gateway_operator.cluster.api import GATEWAY, SECRET
from tests.support.signing import dkim_key, key, published
from tests.unit.operator.setting import KEY, Setting, ref, secret

if TYPE_CHECKING:
    from collections.abc import MutableMapping

DKIM = [{"domain": "example.com", "selector": "k1", "keyRef": {"name": "key"}}]


async def status(setting: Setting) -> dict[str, Any]:
    """Return the resource's status."""
    found: dict[str, Any] = (await setting.get(GATEWAY, "mail"))["status"]
    return found


async def test_the_status_shows_what_to_publish(setting: Setting) -> None:
    """Name and text of the TXT record, and the kind of the key; nothing any more when no key is asked for."""
    await setting.given(secret("key", **{"tls.key": key("ed25519").decode()}))
    await setting.change(dkim=DKIM)
    await setting.reconcile(KEY)

    ((name, record),) = published([dkim_key("example.com", "k1", "ed25519")]).items()
    shown = {"domain": "example.com", "selector": "k1", "key": "Ed25519", "recordName": name, "record": record}
    assert (await status(setting))["dkim"] == [shown]

    await setting.change(dkim=[])
    await setting.reconcile(KEY)
    assert (await status(setting))["dkim"] == []


async def test_a_new_key_is_in_force_at_once(setting: Setting) -> None:
    """The configuration and the record follow the Secret, which belongs to the user and is never pruned."""
    await setting.given(secret("key", **{"private.key": key("ed25519").decode()}))
    await setting.change(dkim=DKIM)
    await setting.reconcile(KEY)
    before = (await setting.get(SECRET, "mail-config-0"))["data"]
    other = signing_keys.new("ed25519")
    stored = await setting.get(SECRET, "key")
    await setting.cluster.delete(ref(SECRET, "key"), stored["metadata"]["uid"])
    await setting.given(secret("key", **{"private.key": other.decode()}))

    await setting.reconcile(KEY)

    assert (await setting.get(SECRET, "mail-config-0"))["data"] != before
    assert (await status(setting))["dkim"][0]["record"] == signing_keys.record(signing_keys.read(other))
    assert await setting.exists(SECRET, "key")


async def test_an_unusable_key_changes_nothing(setting: Setting, logged: list[MutableMapping[str, Any]]) -> None:
    """It is told, the configuration and the records before stay, and nobody sees the key."""
    await setting.given(secret("key", **{"private.key": key("ed25519").decode()}))
    await setting.change(dkim=DKIM)
    await setting.reconcile(KEY)
    before, shown = (await setting.get(SECRET, "mail-config-0"))["data"], (await status(setting))["dkim"]
    await setting.cluster.delete(ref(SECRET, "key"), (await setting.get(SECRET, "key"))["metadata"]["uid"])
    await setting.given(secret("key", **{"private.key": "-----BEGIN PRIVATE KEY-----\nwonderland"}))

    assert await setting.put_off()

    assert (await setting.condition("ReferencesResolved"))[:2] == ("False", "SecretInvalid")
    assert (await setting.get(SECRET, "mail-config-0"))["data"] == before
    assert (await status(setting))["dkim"] == shown
    assert "wonderland" not in json.dumps([await status(setting), *map(str, logged)])
