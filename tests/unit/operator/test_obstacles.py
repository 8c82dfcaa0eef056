"""What is in a reconcile's way: what is told about it, what is left alone, and what is tried again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smtp_gateway.config import rendered
from smtp_gateway.config.certificate import LEAF_LIFETIME
from smtp_gateway_operator.cluster.api import (
    GATEWAY,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    ForbiddenError,
    Kind,
    RejectedError,
    UnavailableError,
)
from smtp_gateway_operator.issuing import hostname_in
from smtp_gateway_operator.workqueue import PutOffError
from tests.unit.operator.setting import KEY, LOGINS, Setting, ref, resource, secret


async def test_a_missing_secret_is_named(setting: Setting) -> None:
    """Nothing is made before the Secrets are there; the status says which is missing, once, and the reconcile comes back."""
    await setting.cluster.delete(ref(SECRET, "app"), (await setting.get(SECRET, "app"))["metadata"]["uid"])

    assert await setting.put_off()
    assert await setting.put_off()

    assert await setting.condition("ReferencesResolved") == ("False", "SecretNotFound", "Secret app not found in namespace apps")
    assert (await setting.condition("Ready"))[:2] == ("False", "SecretNotFound")
    assert (await setting.condition("Progressing"))[:2] == ("False", "Waiting")
    assert setting.reasons() == [("Warning", "SecretNotFound")]
    assert not await setting.exists(STATEFUL_SET, "mail")


async def test_a_secret_that_goes_missing_takes_nothing_away(setting: Setting) -> None:
    """The configuration stays as it was while a Secret is missing: a smaller one would lock applications out."""
    await setting.reconcile(KEY)
    before = (await setting.get(SECRET, "mail-config-0"))["data"]
    await setting.cluster.delete(ref(SECRET, "app"), (await setting.get(SECRET, "app"))["metadata"]["uid"])

    assert await setting.put_off()

    assert (await setting.get(SECRET, "mail-config-0"))["data"] == before
    assert await setting.exists(STATEFUL_SET, "mail")


async def test_certificates_are_renewed_while_a_secret_is_missing(setting: Setting) -> None:
    """They would expire over it: those of the listeners and of the admin port become others, and nothing else does."""
    await setting.reconcile(KEY)
    await setting.cluster.delete(ref(SECRET, "app"), (await setting.get(SECRET, "app"))["metadata"]["uid"])
    before = await setting.versions()

    setting.later(days=LEAF_LIFETIME.days * 2 / 3)
    assert await setting.put_off()

    after = await setting.versions()
    assert {name for name in after if after[name] != before.get(name)} == {"Secret mail-tls", "Secret mail-admin"}
    assert (await setting.condition("ReferencesResolved"))[:2] == ("False", "SecretNotFound")


async def test_a_new_hostname_waits_for_the_missing_secret_while_certificates_are_renewed(setting: Setting) -> None:
    """Clients use the name that is in force, so a renewed certificate is for that one until the configuration says another."""
    await setting.reconcile(KEY)
    app = await setting.get(SECRET, "app")
    await setting.cluster.delete(ref(SECRET, "app"), app["metadata"]["uid"])
    await setting.change(hostname="other.example.com")

    setting.later(days=LEAF_LIFETIME.days * 2 / 3)
    assert await setting.put_off()
    assert hostname_in(await setting.get(SECRET, "mail-tls")) == "mail.example.com"

    await setting.given(secret("app", alice="wonderland"))
    await setting.reconcile(KEY)
    assert hostname_in(await setting.get(SECRET, "mail-tls")) == "other.example.com"


async def test_a_missing_secret_is_no_failure_of_the_operator(setting: Setting) -> None:
    """It comes back for it and brings about what it can, so nobody is woken for an operator that fails; that it may not read one is a failure."""
    await setting.change(logins=[{"secretRef": {"name": "late"}}])
    assert await setting.put_off()
    assert 'reconcile_total{result="success"} 1.0' in setting.metrics.exposition().decode()
    assert 'reconcile_total{result="error"} 0.0' in setting.metrics.exposition().decode()

    setting.cluster.fail("get", ForbiddenError('secrets "late" is forbidden'), SECRET)
    assert await setting.put_off()
    assert 'reconcile_total{result="error"} 1.0' in setting.metrics.exposition().decode()


async def test_the_arrival_of_a_secret_resolves_it(setting: Setting) -> None:
    """Once the Secret is there, the next reconcile makes everything and says so."""
    await setting.change(logins=[{"secretRef": {"name": "late"}}])
    assert await setting.put_off()

    await setting.given(secret("late", bob="builder"))

    assert await setting.reconcile(KEY) is None
    assert (await setting.condition("ReferencesResolved"))[0] == "True"
    assert setting.reasons() == [("Warning", "SecretNotFound"), ("Normal", "Resolved")]


@pytest.mark.parametrize(("kind", "name"), [(SERVICE, "mail"), (SECRET, "mail-config-0"), (STATEFUL_SET, "mail"), (SECRET, "mail-ca")])
async def test_somebody_elses_object_is_left_alone(setting: Setting, kind: Kind, name: str) -> None:
    """An object of another owner that has a child's name is never written to; the status and one Event say so."""
    body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name, "namespace": "apps"}, "spec": {"x": "y"}}
    await setting.given(body)
    before = await setting.get(kind, name)

    assert await setting.put_off()
    assert await setting.put_off()

    assert await setting.get(kind, name) == before
    message = f"{kind.name} {name} exists and does not belong to this SmtpGateway; it is left alone"
    assert await setting.condition("Progressing") == ("False", "OwnershipConflict", message)
    assert (await setting.condition("Ready"))[:2] == ("False", "OwnershipConflict")
    assert setting.reasons() == [("Warning", "OwnershipConflict")]


async def test_the_children_of_a_deleted_namesake_are_waited_for(setting: Setting) -> None:
    """A gateway that is created again waits for the garbage collector, without a Warning."""
    await setting.reconcile(KEY)
    old = await setting.get(GATEWAY)
    await setting.cluster.delete(ref(GATEWAY), old["metadata"]["uid"])
    assert await setting.reconcile(KEY) is None
    await setting.given(resource(logins=LOGINS))

    assert await setting.put_off()

    assert (await setting.condition("Progressing"))[:2] == ("True", "WaitingForDeletion")
    assert setting.reasons() == []


async def test_an_invalid_resource_is_told_and_not_retried(setting: Setting) -> None:
    """What passed an older schema but is not understood becomes a sentence; children stay, and only a change is worth another look."""
    await setting.reconcile(KEY)
    before = await setting.versions()

    await setting.change(hostname="not a name")
    assert await setting.reconcile(KEY) is None

    status, reason, message = await setting.condition("ConfigValid")
    assert (status, reason) == ("False", "Invalid")
    assert message == "spec.hostname: must be a fully qualified host name such as mail.example.com"
    assert (await setting.condition("ReferencesResolved"))[0] == "Unknown"
    assert len((await setting.status())["endpoints"]) == 2
    assert await setting.versions() == before
    assert setting.reasons() == [("Warning", "Invalid")]


async def test_a_configuration_that_is_too_large_is_told(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit its Secrets is not cut short: the last configuration stays, and only a change is worth another look."""
    await setting.reconcile(KEY)
    before = await setting.versions()
    monkeypatch.setattr(rendered, "SHARD_SIZE", 10)

    assert await setting.reconcile(KEY) is None

    assert (await setting.condition("ConfigValid"))[:2] == ("False", "TooLarge")
    assert await setting.versions() == before


async def test_a_user_certificate_needs_both_parts(setting: Setting) -> None:
    """A tls Secret without a key is named."""
    await setting.change(tls={"secretName": "mine"})
    await setting.given(secret("mine", **{"tls.crt": "certificate"}))

    assert await setting.put_off()
    assert (await setting.condition("ReferencesResolved"))[1:] == ("SecretInvalid", "Secret mine has no tls.key")


async def test_a_damaged_authority_is_told_and_left(setting: Setting) -> None:
    """An authority that cannot sign is reported and never replaced behind the clients' back."""
    await setting.reconcile(KEY)
    await setting.cluster.patch(ref(SECRET, "mail-ca"), {"data": {"tls.key": None}})

    assert await setting.put_off()

    assert (await setting.condition("Progressing"))[1:] == ("AuthorityDamaged", "Secret mail-ca does not hold tls.crt and tls.key")


@pytest.mark.parametrize("verb", ["get", "list", "create", "patch/status"])
async def test_a_failing_api_server_is_tried_again(setting: Setting, verb: str) -> None:
    """Whatever call fails, the reconcile comes back and then completes."""
    setting.cluster.fail(verb, UnavailableError("etcdserver: leader changed"))

    assert await setting.put_off()
    assert await setting.reconcile(KEY) is None
    assert await setting.exists(STATEFUL_SET, "mail")
    assert (await setting.condition("ConfigValid"))[0] == "True"


async def test_a_busy_api_server_is_left_alone_for_as_long_as_it_asks(setting: Setting) -> None:
    """`Retry-After` is passed on to the work queue."""
    setting.cluster.fail("create", UnavailableError("too many requests", retry_after=7.0))

    with pytest.raises(PutOffError) as told:
        await setting.reconcile(KEY)

    assert told.value.seconds == 7.0
    await setting.reconcile(KEY)


async def test_a_namespace_that_is_being_deleted_is_no_fault(setting: Setting, logged: list[Any]) -> None:
    """What goes with it is not made again, not tried again, not called a missing right, and nobody is warned."""
    await setting.reconcile(KEY)
    setting.cluster.terminating = {KEY.namespace}
    for one in (ref(STATEFUL_SET), ref(SECRET, "mail-config-0")):
        await setting.cluster.delete(one, (await setting.get(one.kind, one.name))["metadata"]["uid"])
    before = await setting.status()
    logged.clear()

    assert await setting.reconcile(KEY) is None

    assert await setting.status() == before
    assert [(one["event"], one["log_level"]) for one in logged] == [("namespace is being deleted", "info")]
    assert 'reconcile_total{result="error"} 0.0' in setting.metrics.exposition().decode()


@pytest.mark.parametrize(("error", "reason"), [(ForbiddenError("exceeded quota: objects"), "Forbidden"), (RejectedError("no"), "Rejected")])
async def test_a_refusal_of_the_api_server_is_told(setting: Setting, error: Exception, reason: str) -> None:
    """A quota, a policy or an invalid object is the status's business, in the server's own words, and tried again."""
    assert isinstance(error, ForbiddenError | RejectedError)
    setting.cluster.fail("create", error, STATEFUL_SET)

    assert await setting.put_off()

    assert await setting.condition("Progressing") == ("False", reason, str(error))
    assert setting.reasons() == [("Warning", reason)]
    assert await setting.reconcile(KEY) is None
    assert setting.reasons()[-1] == ("Normal", "RollingOut")


async def test_a_child_that_cannot_be_changed_is_made_anew(setting: Setting) -> None:
    """An earlier version made the StatefulSet in a way that cannot be changed: it is made again, its pods stay, and one Event says so."""
    await setting.reconcile(KEY)
    old = await setting.get(STATEFUL_SET)
    await setting.cluster.delete(ref(STATEFUL_SET), old["metadata"]["uid"])
    await setting.given(old | {"spec": old["spec"] | {"podManagementPolicy": "OrderedReady"}})

    await setting.reconcile(KEY)

    new = await setting.get(STATEFUL_SET)
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert new["spec"] == old["spec"]
    assert setting.cluster.orphaned == [ref(STATEFUL_SET)]
    assert setting.reasons() == [("Normal", "MadeAnew")]


async def test_a_secret_that_may_not_be_read_is_told(setting: Setting) -> None:
    """Missing rights on a Secret are a reference's problem."""
    setting.cluster.fail("get", ForbiddenError('secrets "app" is forbidden'), SECRET)

    assert await setting.put_off()
    assert (await setting.condition("ReferencesResolved"))[1:] == ("SecretForbidden", 'secrets "app" is forbidden')


async def test_secrets_are_told_to_nobody(setting: Setting, logged: list[Any]) -> None:
    """Neither passwords nor logins are in the status, Events, metrics or logs, whatever goes wrong with them."""
    await setting.change(logins=[*LOGINS, {"secretRef": {"name": "other"}}])
    await setting.given(secret("other", alice="red-queen"))
    assert await setting.put_off()

    told = json.dumps([await setting.status(), setting.cluster.events]) + str(logged)
    told += setting.metrics.exposition().decode()
    assert (await setting.condition("ReferencesResolved"))[1:] == ("LoginsConflict", "Secrets app and other hold the same login")
    for word in ("wonderland", "red-queen", "alice"):
        assert word not in told
