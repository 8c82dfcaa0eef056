"""A gateway from a manifest file, and a configuration from a folder: what the disk can hold, and what it must not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from smtp_gateway.config import rendered
from smtp_gateway.config.certificate import Pair, new_authority
from smtp_gateway.config.manifest import ManifestError, load
from smtp_gateway.config.model import Config, Listener, Login, PasswordCredentials, Route
from smtp_gateway.config.rendered import HASH_FILE, RenderedConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

EXAMPLE = Path("examples/smarthost.yaml")
BARE = "apiVersion: smtpgateway.io/v1alpha1\nkind: SmtpGateway\nmetadata: {name: mail}\nspec: {hostname: mail.example.com}\n"


def config(logins: int = 1) -> Config:
    """Return a configuration with so many logins, whose passwords do not compress."""
    return Config(
        hostname="mail.example.com",
        listeners=(Listener(name="submission", port=587),),
        logins=tuple(Login(login=f"app-{number}", password=SecretStr(_noise(number)), identity="app-logins") for number in range(logins)),
        routes=(Route(name="default"),),
    )


def _noise(number: int) -> str:
    return f"{pow(3, number + 7000, 2**2000 - 1):x}"


def write(folder: Path, shards: Iterable[dict[str, bytes]]) -> None:
    """Write shards as a projected volume shows them."""
    for shard in shards:
        for name, octets in shard.items():
            (folder / name).write_bytes(octets)


def test_what_is_rendered_is_loaded(tmp_path: Path) -> None:
    """The gateway loads exactly what the operator rendered, passwords included."""
    write(tmp_path, rendered.render(config()))

    loaded = rendered.load(tmp_path)

    assert loaded == config()
    assert rendered.config_hash(loaded) == rendered.config_hash(config())


def test_a_salt_is_loaded_and_hashed(tmp_path: Path) -> None:
    """Two configurations that differ in the salt alone are equally good, and have other hashes."""
    salted = config().model_copy(update={"salt": rendered.new_salt()})
    shards = rendered.render(salted)
    write(tmp_path, shards)

    assert rendered.load(tmp_path) == salted
    assert rendered.salt_in(shards[0]) == salted.salt
    assert rendered.config_hash(salted) != rendered.config_hash(config())
    assert rendered.config_hash(rendered.load(tmp_path)) == rendered.config_hash(salted)


def test_a_manifest_has_a_salt_of_each_start() -> None:
    """Its hash is shown, too, and compared by nobody."""
    first, second = (load(EXAMPLE).config for _ in range(2))

    assert rendered.config_hash(first) != rendered.config_hash(second)


def test_a_large_configuration_takes_several_secrets(tmp_path: Path) -> None:
    """Beyond what one Secret holds, shards follow; together they are the configuration."""
    shards = rendered.render(config(6000))
    write(tmp_path, shards)

    assert len(shards) > 1
    assert all(sum(map(len, shard.values())) < 2**20 for shard in shards)
    assert rendered.load(tmp_path) == config(6000)


def test_a_configuration_beyond_every_shard_is_refused() -> None:
    """What does not fit the volume is an error, not a cut configuration."""
    with pytest.raises(rendered.ConfigTooLargeError, match="more than the"):
        rendered.render(config(20000))


def test_shards_of_two_generations_are_refused(tmp_path: Path) -> None:
    """While the kubelet has refreshed one Secret and not yet the other, the folder is not a configuration."""
    write(tmp_path, rendered.render(config(6000)))
    write(tmp_path, rendered.render(config(6001))[:1])

    with pytest.raises(RenderedConfigError, match="do not belong together"):
        rendered.load(tmp_path)


def test_a_shard_left_over_is_ignored(tmp_path: Path) -> None:
    """When a configuration shrank, the last shard may still be there for a moment; the first says where the whole ends."""
    write(tmp_path, rendered.render(config(6000)))
    write(tmp_path, rendered.render(config(1)))

    assert rendered.load(tmp_path) == config(1)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    """A folder without a configuration is named."""
    with pytest.raises(RenderedConfigError, match=f"cannot be read.*{HASH_FILE}"):
        rendered.load(tmp_path)


def test_the_example_starts() -> None:
    """The example for one smarthost is a gateway with one login, and with credentials for the smarthost."""
    loaded = load(EXAMPLE)
    (smarthost,) = loaded.config.routes[0].smarthosts

    assert loaded.certificate is None
    assert [login.login for login in loaded.config.logins] == ["my-app"]
    assert smarthost.host == "smtp.provider.example"
    assert smarthost.credentials is not None
    assert smarthost.credentials.identity == "provider"


def test_secrets_may_come_from_a_folder(tmp_path: Path) -> None:
    """A folder of Secrets, laid out as when mounted, gives logins and the certificate."""
    secrets = tmp_path / "secrets"
    for name, key, value in (("logins", "app", "pw"), ("cert", "tls.crt", "C"), ("cert", "tls.key", "K")):
        (secrets / name).mkdir(parents=True, exist_ok=True)
        (secrets / name / key).write_text(value)
    (secrets / "logins" / "..data").mkdir()
    manifest = tmp_path / "gateway.yaml"
    manifest.write_text(
        BARE.replace(
            "{hostname: mail.example.com}", "{hostname: a.example, tls: {secretName: cert}, logins: [{secretRef: {name: logins}}]}"
        )
    )

    loaded = load(manifest, secrets)

    assert [(one.login, one.password.get_secret_value()) for one in loaded.config.logins] == [("app", "pw")]
    assert loaded.certificate == Pair(b"C", b"K")
    assert loaded.additional is None


def test_credentials_may_come_from_a_folder_too(tmp_path: Path) -> None:
    """The end of a line that an editor put into the file is told, and what it is the end of is not."""
    manifest, password = tmp_path / "gateway.yaml", tmp_path / "secrets" / "provider" / "password"
    hop = "{host: smtp.example, credentialsRef: {name: provider}}"
    manifest.write_text(
        BARE.replace("hostname: mail.example.com", f"hostname: a.example, routes: [{{name: default, smarthosts: [{hop}]}}]")
    )
    password.parent.mkdir(parents=True)
    (password.parent / "username").write_text("relay")
    password.write_text("looking-glass\n")
    with pytest.raises(ManifestError, match="Secret provider cannot be used for a smarthost: password: it holds control char") as refused:
        load(manifest, tmp_path / "secrets")
    assert "looking-glass" not in str(refused.value)

    password.write_text("looking-glass")
    (smarthost,) = load(manifest, tmp_path / "secrets").config.routes[0].smarthosts

    assert isinstance(smarthost.credentials, PasswordCredentials)
    assert smarthost.credentials.password.get_secret_value() == "looking-glass"


def test_a_second_certificate_and_the_authority_of_clients_come_from_secrets_too(tmp_path: Path) -> None:
    """From a folder or from the manifest, as all Secrets do; the pair that the operator would issue is the gateway's own here."""
    manifest, secrets = tmp_path / "gateway.yaml", tmp_path / "secrets"
    pem = new_authority("clients", datetime.now(UTC)).certificate
    tls = "{additionalSecretName: rsa, clientCertificates: {authorityRef: {name: clients-ca}}}"
    manifest.write_text(BARE.replace("hostname: mail.example.com", f"hostname: mail.example.com, tls: {tls}"))
    for name, files in {"rsa": {"tls.crt": b"C", "tls.key": b"K"}, "clients-ca": {"ca.crt": pem}}.items():
        (secrets / name).mkdir(parents=True)
        for file, content in files.items():
            (secrets / name / file).write_bytes(content)

    loaded = load(manifest, secrets)

    assert (loaded.certificate, loaded.additional) == (None, Pair(b"C", b"K"))
    assert loaded.config.client_certificates is not None
    assert loaded.config.client_certificates.authority == pem.decode()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must hold exactly one SmtpGateway; it holds 0"),
        (f"{BARE}---\n{BARE}", "it holds 2"),
        ("a: [", "is not YAML"),
        (BARE.replace("mail.example.com", "mail"), "spec.hostname: must be a fully qualified host name"),
        (BARE.replace("example.com}", "example.com, logins: [{secretRef: {name: gone}}]}"), "Secret gone is missing"),
        (BARE.replace("example.com}", "example.com, tls: {secretName: gone}}"), "Secret gone is missing"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    """A manifest that cannot start says why in one sentence."""
    manifest = tmp_path / "gateway.yaml"
    manifest.write_text(text)

    with pytest.raises(ManifestError, match=sentence) as refused:
        load(manifest)

    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong path is told, not raised as a traceback."""
    with pytest.raises(ManifestError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ManifestError, match="is not a folder of Secrets"):
        load(EXAMPLE, tmp_path / "none")
