"""Kubeconfig files, as JSON (which is YAML), for people and for daemons."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.lab.layout import API_SERVER, CONTEXT, Layout

if TYPE_CHECKING:
    from pathlib import Path


def write_kubeconfig(layout: Layout, user: str) -> Path:
    """Write a user's kubeconfig, which refers to the user's certificate by path."""
    pki = layout.pki
    cluster = {"server": API_SERVER, "certificate-authority": str(pki / "ca.crt")}
    credentials = {"client-certificate": str(pki / f"{user}.crt"), "client-key": str(pki / f"{user}.key")}
    file = layout.run / f"{user}.kubeconfig"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": CONTEXT, "cluster": cluster}],
                "users": [{"name": user, "user": credentials}],
                "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
                "current-context": CONTEXT,
            }
        )
    )
    file.chmod(0o600)
    return file
