"""`python -m tests.generated`: fail when a committed file is not what its source produces. `make crds docs golden dashboards` mends it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

PRODUCED = {
    "crds/smtpgateways.yaml": ("smtp_gateway.config.crd", "FILE"),
    "charts/smtp-gateway-operator/files/smtpgateways.yaml": ("smtp_gateway.config.crd", "FILE"),
    "docs/protocol.md": ("smtp_gateway.listener.protocol",),
    "docs/metrics.md": ("smtp_gateway.telemetry.table",),
    "docs/operator-metrics.md": ("smtp_gateway_operator.metrics",),
    "docs/operations.md": ("smtp_gateway_operator.status.catalogue",),
    "charts/smtp-gateway-operator/README.md": ("tests.chart.readme",),
    "docs/clients.md": ("tests.clients.table",),
    "charts/smtp-gateway-operator/files/dashboards/fleet.json": ("dashboards", "fleet"),
    "charts/smtp-gateway-operator/files/dashboards/gateway.json": ("dashboards", "gateway"),
}
"""The file, and the module that produces it: into the file named in the place of FILE, or on its standard output."""


def produced(command: tuple[str, ...]) -> str:
    """Return what *command* produces."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "produced"
        arguments = [str(target) if argument == "FILE" else argument for argument in command]
        output = subprocess.run([sys.executable, "-m", *arguments], check=True, capture_output=True, text=True).stdout
        return target.read_text() if "FILE" in command else output


def main() -> int:
    """Say which files are out of date."""
    stale = [path for path, command in PRODUCED.items() if Path(path).read_text() != produced(command)]
    for path in stale:
        print(f"{path} is not what its source produces: run `make crds docs dashboards` and commit the result", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
