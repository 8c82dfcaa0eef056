"""The configuration as files: what the operator puts into Secrets and the gateway finds in its projected volume.

One Secret holds at most 1 MiB, so the compressed configuration is cut into shards, each a Secret of its own in one volume. The
kubelet refreshes the Secrets of a volume one by one, so the folder can hold shards of two generations for a moment: the first
shard names the hash of the whole, and a folder that does not add up to it is refused until it does.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import secrets
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from pydantic import SecretStr, ValidationError

from smtp_gateway.config.model import Config
from smtp_gateway.config.sentences import sentence_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_SHARDS = 4
"""How many Secrets the pods' volume names. About 4 MB compressed: some 100,000 logins."""
SHARD_SIZE = 1000 * 1024
"""Octets in one shard; below the 1 MiB that the API server allows a Secret, with room for its names."""
HASH_FILE = "config.sha256"
PART_FILE = "config.{}.part"
SALT_FILE = "config.salt"
"""The configuration's salt once more, for the operator to find without unpacking the rest. Nobody else reads it."""
SALT_SIZE = 16
"""Octets of a salt: 128 bits cannot be tried out."""


class RenderedConfigError(Exception):
    """The folder does not hold a whole configuration: being refreshed, or damaged."""


class ConfigTooLargeError(Exception):
    """The configuration does not fit the shards that the pods' volume names."""


def render(config: Config) -> tuple[dict[str, bytes], ...]:
    """Return the files of each shard, by name; equal configurations give equal octets.

    Raises `ConfigTooLargeError`.
    """
    packed = gzip.compress(_canonical(config), mtime=0)
    parts = [packed[at : at + SHARD_SIZE] for at in range(0, len(packed), SHARD_SIZE)]
    if len(parts) > MAX_SHARDS:
        message = f"the configuration needs {len(packed)} octets compressed, more than the {MAX_SHARDS * SHARD_SIZE} that fit"
        raise ConfigTooLargeError(message)
    shards = [{PART_FILE.format(number): part} for number, part in enumerate(parts)]
    shards[0][HASH_FILE] = hashlib.sha256(packed).hexdigest().encode()
    if config.salt is not None:
        shards[0][SALT_FILE] = config.salt.get_secret_value().encode()
    return tuple(shards)


def new_salt() -> SecretStr:
    """Return a salt that nobody has had before."""
    return SecretStr(secrets.token_hex(SALT_SIZE))


def salt_in(files: Mapping[str, bytes]) -> SecretStr | None:
    """Return the salt among the *files* of the first shard; None when there is none that could have come from `new_salt`."""
    salt = files.get(SALT_FILE, b"").decode("ascii", "replace")
    return SecretStr(salt) if re.fullmatch(f"[0-9a-f]{{{2 * SALT_SIZE}}}", salt) else None


def config_hash(config: Config) -> str:
    """Return the SHA-256 of the configuration, its salt included, in hexadecimal: the same on both sides for the same configuration."""
    return hashlib.sha256(_canonical(config)).hexdigest()


def load(folder: Path) -> Config:
    """Return the configuration in *folder*.

    Raises `RenderedConfigError` with one sentence when the folder is incomplete, inconsistent or not understood.
    """
    try:
        expected = (folder / HASH_FILE).read_text("ascii").strip()
        paths = [folder / PART_FILE.format(number) for number in range(MAX_SHARDS)]
        packed = _prefix_with_hash([path.read_bytes() for path in paths if path.exists()], expected)
        return Config.model_validate_json(gzip.decompress(packed))
    except OSError as error:
        message = f"the configuration folder cannot be read: {error.strerror or error} ({error.filename or folder})"
        raise RenderedConfigError(message) from error
    except ValidationError as error:
        message = f"the configuration is not valid: {sentence_of(error)}"
        raise RenderedConfigError(message) from error


def _prefix_with_hash(parts: list[bytes], expected: str) -> bytes:
    """Join the parts that *expected* covers: when a configuration shrank, the last shard may outlive it for a moment."""
    packed = b""
    for part in parts:
        packed += part
        if hashlib.sha256(packed).hexdigest() == expected:
            return packed
    message = "the configuration's parts do not belong together; they are probably being refreshed"
    raise RenderedConfigError(message)


def _canonical(config: Config) -> bytes:
    return json.dumps(config.model_dump(by_alias=True), sort_keys=True, separators=(",", ":"), default=_written).encode()


def _written(value: object) -> str:
    """Write what JSON has no word for; secrets in clear, wherever they are: the result only ever goes into a Secret, or is hashed."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, IPv4Network | IPv6Network):
        return str(value)
    message = f"a configuration holds no {type(value).__name__}"
    raise TypeError(message)
