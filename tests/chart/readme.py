"""`python -m tests.chart.readme`: the chart's README, whose table of values comes from the comments in `values.yaml`.

A comment that begins with `# --` is about the key in the line below it. A value without one is a branch whose own values have them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

CHART = Path("charts/smtp-gateway-operator")
_COMMENT = re.compile(r" *# -- (?P<text>.+)")
_KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z]+):")
_INDENT = 2

PAGE = """# smtp-gateway-operator

{description}.

```sh
helm install smtp-gateway-operator charts/smtp-gateway-operator --namespace mail --create-namespace
```

The operator serves the SmtpGateways of the release's namespace. `kubectl get smtpgw` says how they are. Uninstalling keeps the custom resource definition, and with it every SmtpGateway and its mail, unless `crds.keep` is false.
Without Helm: [the same by kustomize](../kustomize/README.md).

## A mail by `helm test`

```sh
helm upgrade smtp-gateway-operator charts/smtp-gateway-operator --namespace mail --reset-then-reuse-values \\
  --set test.gateway=mail,test.credentialsSecret=app-logins,test.login=my-app \\
  --set test.sender=my-app@example.com,test.recipient=you@example.com
helm test smtp-gateway-operator --namespace mail --logs
```

A pod with the gateway's image sends one mail through the gateway's Service, as that login, and prints the reply; or the test fails, and the pod's log and status say why in one sentence. The mail is real: the recipient gets it when the gateway has delivered it. Setting `test` restarts nothing.

## Values

| value | default | meaning |
|---|---|---|
{rows}
"""


@dataclass(frozen=True, slots=True)
class Value:
    """One row."""

    path: str
    default: Any
    meaning: str


def values(text: str) -> Iterator[Value]:
    """Yield the values of a `values.yaml` that have a comment, in their order."""
    defaults, path, meaning = yaml.safe_load(text), list[str](), ""
    for line in text.splitlines():
        if comment := _COMMENT.fullmatch(line):
            meaning = comment["text"]
        elif key := _KEY.match(line):
            path[len(key["indent"]) // _INDENT :] = [key["name"]]
            if meaning:
                yield Value(".".join(path), _at(defaults, path), meaning)
            meaning = ""


def _at(defaults: Any, path: list[str]) -> Any:
    for name in path:
        defaults = defaults[name]
    return defaults


def page() -> str:
    """Return the README."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    rows = (f"| `{one.path}` | `{json.dumps(one.default)}` | {one.meaning} |" for one in values((CHART / "values.yaml").read_text("utf-8")))
    return PAGE.format(description=chart["description"], rows="\n".join(rows))


if __name__ == "__main__":
    print(page(), end="")
