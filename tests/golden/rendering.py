"""What the operator makes of the resource in `input/NAME.yaml`, as the text of `output/NAME.yaml`.

Only what is pure: every child but what the operator itself issues; listeners that may relay for strangers are left out, on a cluster whose
nodes have none of the networks' addresses. Two things are normalised, so that a difference is always a decision of ours: the
version, which moves with each release, and the configuration, which is shown as it is read and not as some zlib packs it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from smtp_gateway import __version__
from smtp_gateway_operator import desired, open_relay
from smtp_gateway_operator.desired import Images
from smtp_gateway_operator.names import VERSION_LABEL
from smtp_gateway_operator.spec import KIND, SmtpGateway, configured

INPUT = Path(__file__).parent / "input"
OUTPUT = Path(__file__).parent / "output"
IMAGES = Images("example.com/smtp-gateway:1", "smtp-system")
SERVER_SET = {"namespace": "apps", "uid": "11111111-2222-3333-4444-555555555555", "generation": 1}
"""What the API server adds to the metadata of a manifest."""
NAMES = sorted(path.stem for path in INPUT.glob("*.yaml"))


def rendered(name: str) -> str:
    """Return the children of the gateway in `input/NAME.yaml`, one YAML document each, in the order in which they are applied."""
    asked, secrets = _read(INPUT / f"{name}.yaml")
    gateway = open_relay.exposed(asked, open_relay.assess(asked.spec, ()))
    requested = desired.requested_certificates(desired.owner_of(gateway), gateway.spec)
    children = json.loads(json.dumps([*requested, *desired.children(gateway, configured(gateway, secrets), IMAGES)]))
    for child in children:
        assert child["metadata"]["labels"][VERSION_LABEL] == __version__
        child["metadata"]["labels"][VERSION_LABEL] = "VERSION"
    _unpack([child for child in children if child["kind"] == "Secret"])
    text: str = yaml.safe_dump_all(children, sort_keys=False, explicit_start=True, width=140)
    return text


def _read(path: Path) -> tuple[SmtpGateway, dict[str, Any]]:
    """Return the gateway in a file, and the Secrets beside it by name."""
    objects = list(yaml.safe_load_all(path.read_text()))
    (body,) = (one for one in objects if one["kind"] == KIND)
    gateway = SmtpGateway.model_validate(body | {"metadata": body["metadata"] | SERVER_SET})
    return gateway, {one["metadata"]["name"]: one for one in objects if one["kind"] == "Secret"}


def _unpack(shards: list[dict[str, Any]]) -> None:
    """Show the configuration in the place of its first part."""
    parts = [base64.b64decode(shard["data"][f"config.{number}.part"]) for number, shard in enumerate(shards)]
    packed = b"".join(parts)
    assert base64.b64decode(shards[0]["data"]["config.sha256"]).decode() == hashlib.sha256(packed).hexdigest()
    for number, shard in enumerate(shards):
        shard["data"] = {f"config.{number}.part": "PACKED"}
    shards[0]["data"] = {"config.0.part": json.loads(gzip.decompress(packed)), "config.sha256": "HASH"}
