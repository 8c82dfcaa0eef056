"""The hash of the configuration is shown to everybody, and tells nobody whether a guessed password is right."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from smtp_gateway_operator.cluster.api import SECRET
from smtp_gateway_operator.spec import Config, config_hash
from tests.unit.operator.setting import KEY, LOGINS, Setting, ref, report, resource, secret

if TYPE_CHECKING:
    from collections.abc import MutableMapping


async def salt(setting: Setting) -> str:
    """Return the salt of the configuration in its Secret."""
    data = (await setting.get(SECRET, "mail-config-0"))["data"]
    return base64.b64decode(data["config.salt"]).decode()


async def test_a_hash_is_of_no_use_without_the_salt(setting: Setting) -> None:
    """With everything right but the salt another hash comes out; with the salt it is the pods' own."""
    await setting.reconcile(KEY)
    config = Config.model_validate(await setting.config())

    assert config_hash(config) == await setting.config_hash()
    assert config_hash(config.model_copy(update={"salt": None})) != await setting.config_hash()
    assert config.salt is not None
    assert config.salt.get_secret_value() == await salt(setting)


async def test_no_two_gateways_have_the_same_salt(setting: Setting) -> None:
    """The same resource and logins elsewhere have another hash."""
    other = Setting()
    await other.given(resource(logins=LOGINS), secret("app", alice="wonderland"))
    for one in (setting, other):
        await one.reconcile(KEY)

    assert await setting.config_hash() != await other.config_hash()
    assert len(await salt(setting)) == 32


async def test_a_salt_stays() -> None:
    """Over changes of the resource, restarts of the operator, and the loss of the Secret's labels: nothing is loaded anew for it."""
    setting = Setting()
    await setting.given(resource())
    await setting.reconcile(KEY)
    before, shown = await salt(setting), await setting.config_hash()

    await setting.restarted()(KEY)
    assert await setting.config_hash() == shown
    await setting.change(limits={"recipients": 7})
    await setting.reconcile(KEY)
    await setting.cluster.patch(ref(SECRET, "mail-config-0"), {"metadata": {"labels": None}})
    await setting.restarted()(KEY)

    assert await salt(setting) == before


@pytest.mark.parametrize("damaged", [{"config.salt": "c2hvcnQ="}, {"config.salt": "no base64"}, {"config.salt": None}, None])
async def test_a_damaged_salt_is_made_anew(setting: Setting, damaged: dict[str, Any] | None) -> None:
    """One that could be tried out is none."""
    await setting.reconcile(KEY)
    before = await salt(setting)
    await setting.cluster.patch(ref(SECRET, "mail-config-0"), {"data": damaged})

    await setting.reconcile(KEY)

    assert len(await salt(setting)) == 32
    assert await salt(setting) != before


async def test_the_salt_is_told_to_nobody(setting: Setting, logged: list[MutableMapping[str, Any]]) -> None:
    """Not by the status, nor by Events, nor in the log."""
    await setting.reconcile(KEY)
    setting.fleet.says["mail-0"] = report("mail-0", config_hash=await setting.config_hash())
    await setting.reconcile(KEY)

    assert await salt(setting) not in str([await setting.status(), setting.cluster.events, logged])
