"""What a gateway refers to: found, or named in one sentence that tells nothing of a Secret's contents."""

from __future__ import annotations

import pytest

from smtp_gateway.config.certificate import new_authority
from smtp_gateway.config.model import PasswordCredentials
from smtp_gateway_operator.cluster.api import SECRET, ForbiddenError, Object
from smtp_gateway_operator.cluster.memory import Call, MemoryCluster
from smtp_gateway_operator.cluster.references import UnresolvedError, config
from tests.support.signing import key
from tests.unit.operator.setting import KEY, NOW, gateway, ref, secret

CERTIFICATE = {"tls.crt": "certificate", "tls.key": "wonderland"}


def referring_to(*names: str, tls: str | None = None) -> dict[str, object]:
    """Return the part of a spec that names Secrets."""
    sources = [{"secretRef": {"name": name}} for name in names]
    return {"logins": sources} | ({"tls": {"secretName": tls}} if tls else {})


async def holding(*secrets: Object) -> MemoryCluster:
    """Return a cluster with *secrets*."""
    cluster = MemoryCluster()
    for one in secrets:
        await cluster.create(one)
    cluster.calls.clear()
    return cluster


async def refusal(cluster: MemoryCluster, spec: dict[str, object]) -> tuple[str, str]:
    """Return reason and message of what cannot be resolved."""
    with pytest.raises(UnresolvedError) as told:
        await config(cluster, gateway(**spec))
    return told.value.reason, str(told.value)


async def test_logins_come_from_every_secret_in_order() -> None:
    """Each Secret is read once and by its name, the certificate's too, and says who its logins belong to."""
    cluster = await holding(secret("b", bob="2"), secret("a", alice="1"), secret("cert", **CERTIFICATE))

    found = (await config(cluster, gateway(**referring_to("b", "a", tls="cert")))).logins

    assert [(one.login, one.identity) for one in found] == [("bob", "b"), ("alice", "a")]
    assert cluster.calls == [Call("get", SECRET)] * 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (referring_to("app"), "Secret app not found in namespace apps"),
        (referring_to("there", tls="cert"), "Secret cert not found in namespace apps"),
        (referring_to("app", "there", "billing", tls="cert"), "Secrets app, billing, cert not found in namespace apps"),
    ],
)
async def test_every_missing_secret_is_named(spec: dict[str, object], message: str) -> None:
    """All of them at once, so that a person need not come back for the next."""
    cluster = await holding(secret("there", alice="wonderland"))

    assert await refusal(cluster, spec) == ("SecretNotFound", message)


async def test_a_secret_that_may_not_be_read_is_told_in_the_servers_words() -> None:
    """The API server says what is forbidden to whom."""
    cluster = await holding(secret("app", alice="wonderland"))
    cluster.fail("get", ForbiddenError('secrets "app" is forbidden'))

    assert await refusal(cluster, referring_to("app")) == ("SecretForbidden", 'secrets "app" is forbidden')


@pytest.mark.parametrize(
    ("secrets", "spec", "reason", "message"),
    [
        (
            [secret("one", alice="wonderland"), secret("two", alice="looking-glass")],
            referring_to("one", "two"),
            "LoginsConflict",
            "Secrets one and two hold the same login",
        ),
        (
            [secret("one", kind="kubernetes.io/basic-auth", username="alice")],
            referring_to("one"),
            "SecretInvalid",
            "Secret one is of type kubernetes.io/basic-auth but has no username or no password",
        ),
        (
            [secret("one") | {"data": {"alice": "d29uZGVybGFuZP8="}}],
            referring_to("one"),
            "SecretInvalid",
            "Secret one holds a value that is not text in UTF-8",
        ),
        (
            [secret("one", alice="$argon2id$v=19$m=4194304,t=3,p=4$wonderlandwonderland$looking-glass")],
            referring_to("one"),
            "SecretInvalid",
            "Secret one cannot be used: a password begins like an argon2id hash and is none: $argon2id$v=19$m=...,t=...,p=...$salt$hash is needed",
        ),
        (
            [secret("one", alice="$2b$31$" + "wonderland" * 5 + "...")],
            referring_to("one"),
            "SecretInvalid",
            "Secret one cannot be used: a password is hashed with bcrypt and a cost of 31: it must be 4 to 13",
        ),
        ([secret("one", alice="", bob="")], referring_to("one"), "SecretInvalid", "Secret one has 2 logins with an empty password"),
        ([secret("cert", **{"tls.key": "wonderland"})], referring_to(tls="cert"), "SecretInvalid", "Secret cert has no tls.crt"),
        ([secret("cert")], referring_to(tls="cert"), "SecretInvalid", "Secret cert has no tls.crt and no tls.key"),
        ([secret("cert", **CERTIFICATE | {"tls.key": ""})], referring_to(tls="cert"), "SecretInvalid", "Secret cert has no tls.key"),
    ],
)
async def test_what_is_wrong_with_a_secret_is_told_without_its_contents(
    secrets: list[Object], spec: dict[str, object], reason: str, message: str
) -> None:
    """Status and Events are read by more people than Secrets: neither logins nor passwords nor keys are in the sentence."""
    assert await refusal(await holding(*secrets), spec) == (reason, message)
    assert not [word for word in ("alice", "wonderland", "looking-glass", "d29uZGVybGFuZ") if word in message]


async def test_every_certificate_is_referred_to() -> None:
    """The second one, and the authority of clients, beside the operator's own: a change of them is noticed at once, and what they lack is told as of the first."""
    spec: dict[str, object] = {"tls": {"additionalSecretName": "rsa", "clientCertificates": {"authorityRef": {"name": "clients-ca"}}}}
    pem = new_authority("clients", NOW).certificate.decode()
    assert await refusal(await holding(), spec) == ("SecretNotFound", "Secrets clients-ca, rsa not found in namespace apps")
    assert await refusal(await holding(secret("rsa"), secret("clients-ca")), spec) == (
        "SecretInvalid",
        "Secret rsa has no tls.crt and no tls.key",
    )

    cluster = await holding(secret("rsa", **CERTIFICATE), secret("clients-ca", **{"ca.crt": pem}))
    clients = (await config(cluster, gateway(**spec))).client_certificates
    assert clients is not None
    assert clients.authority == pem
    assert cluster.referred[KEY] == {ref(SECRET, "rsa"), ref(SECRET, "clients-ca")}
    assert await refusal(await holding(secret("rsa", **CERTIFICATE), secret("clients-ca")), spec) == (
        "SecretInvalid",
        "Secret clients-ca has no certificate under ca.crt",
    )


def relaying_by(*names: str) -> dict[str, object]:
    """Return the part of a spec whose smarthosts have credentials in Secrets of these names."""
    hops = [{"host": f"smtp{number}.example", "credentialsRef": {"name": name}} for number, name in enumerate(names)]
    return {"routes": [{"name": "default", "smarthosts": hops}]}


async def test_credentials_of_smarthosts_are_referred_to_and_read() -> None:
    """Each Secret once, however many smarthosts name it, so that a rotated password is noticed at once."""
    cluster = await holding(secret("one", username="alice", password="wonderland"), secret("two", username="bob", password="looking-glass"))

    (route,) = (await config(cluster, gateway(**relaying_by("one", "two", "one")))).routes

    found = [hop.credentials for hop in route.smarthosts if isinstance(hop.credentials, PasswordCredentials)]
    assert [(one.identity, one.username.get_secret_value(), one.password.get_secret_value()) for one in found] == [
        ("one", "alice", "wonderland"),
        ("two", "bob", "looking-glass"),
        ("one", "alice", "wonderland"),
    ]
    assert cluster.calls == [Call("get", SECRET)] * 2
    assert cluster.referred[KEY] == {ref(SECRET, "one"), ref(SECRET, "two")}


@pytest.mark.parametrize(
    ("secrets", "reason", "message"),
    [
        ([], "SecretNotFound", "Secret provider not found in namespace apps"),
        (
            [secret("provider", login="alice")],
            "SecretInvalid",
            "Secret provider has no username and no password, which a smarthost's credentials need",
        ),
        (
            [secret("provider", username="alice", password="wonderland\n")],
            "SecretInvalid",
            "Secret provider cannot be used for a smarthost: password: it holds control characters, such as the end of a line behind it",
        ),
    ],
)
async def test_credentials_that_cannot_be_used_are_told_without_their_contents(secrets: list[Object], reason: str, message: str) -> None:
    """By the same conditions as logins."""
    assert await refusal(await holding(*secrets), relaying_by("provider")) == (reason, message)


async def test_two_logins_with_one_password_do_not_conflict() -> None:
    """Only a login that two Secrets hold is ambiguous."""
    cluster = await holding(secret("one", alice="wonderland"), secret("two", bob="wonderland"))

    assert len((await config(cluster, gateway(**referring_to("one", "two")))).logins) == 2


async def test_keys_that_sign_mail_are_referred_to() -> None:
    """A change of their Secrets is noticed, and a Secret that is named twice is read once."""
    spec = {"dkim": [{"domain": domain, "selector": "k1", "keyRef": {"name": "key"}} for domain in ("a.example", "b.example")]}
    cluster = await holding(secret("key", **{"private.key": key("ed25519").decode()}))

    assert [one.domain for one in (await config(cluster, gateway(**spec))).dkim] == ["a.example", "b.example"]
    assert cluster.referred[KEY] == {ref(SECRET, "key")}
    assert cluster.calls == [Call("get", SECRET)]


async def test_a_key_that_cannot_sign_is_told_without_its_contents() -> None:
    """By its Secret's name."""
    spec: dict[str, object] = {"dkim": [{"domain": "a.example", "selector": "k1", "keyRef": {"name": "key"}}]}
    cluster = await holding(secret("key", **{"private.key": "wonderland"}))

    assert await refusal(cluster, spec) == (
        "SecretInvalid",
        "Secret key cannot be used: the key under private.key is not a private key in PEM (PKCS#8, or PKCS#1 for RSA)",
    )
