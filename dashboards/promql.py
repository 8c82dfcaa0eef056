"""PromQL as all panels write it.

Pods are told apart by the labels `namespace` and `pod`, which every way to find pods gives. A gateway is the name of its pods without the
number, as in the alerts, and `$namespace`, `$gateway` and `$pod` are chosen in the dashboard. Rates are taken over `$__rate_interval`:
Grafana makes it at least four scrapes long, so that a scrape that fails leaves no hole.
"""

from __future__ import annotations

PREFIX = "smtp_gateway_"
FLEET = 'namespace=~"$namespace", pod=~"$gateway-[0-9]+"'
"""The pods of all gateways that were chosen."""
ONE = f'{FLEET}, pod=~"$pod"'
"""Those pods of one gateway that were chosen."""
OPERATOR = 'exported_namespace=~"$namespace|", name=~"$gateway"'
"""What the operator says of gateways: a Prometheus renames its label `namespace` where the scrape has one of its own."""


def metric(name: str, where: str, further: str = "") -> str:
    """Return the series of a metric; *name* without the prefix, unless it is a process's."""
    whole = name if name.startswith("process_") else f"{PREFIX}{name}"
    return f"{whole}{{{', '.join(filter(None, (where, further)))}}}"


def rate(name: str, where: str, further: str = "") -> str:
    """Return by how much a counter grows in a second."""
    return f"rate({metric(name, where, further)}[$__rate_interval])"


def total(by: str, what: str) -> str:
    """Return the sum of *what* by labels, `gateway` among them where it is wanted."""
    if not by:
        return f"sum({what})"
    return f"sum by ({by}) ({gateways(what) if 'gateway' in by else what})"


def gateways(what: str) -> str:
    """Return *what* with the label `gateway`."""
    return f'label_replace({what}, "gateway", "$1", "pod", "(.+)-[0-9]+")'


def per_minute(by: str, name: str, where: str, further: str = "") -> str:
    """Return how much a counter grows in a minute, by labels."""
    return f"60 * {total(by, rate(name, where, further))}"


def happened(by: str, name: str, where: str, further: str = "") -> str:
    """Return the same without what did not happen: counters of faults are there at 0 for each that there could be."""
    return f"{per_minute(by, name, where, further)} > 0"


def quantile(share: float, name: str, where: str, by: str = "") -> str:
    """Return below what *share* of a histogram's values were, by labels."""
    labels = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, sum by ({labels}) ({rate(f'{name}_bucket', where)}))"


def buckets(name: str, where: str) -> str:
    """Return how many values a second fell into each bucket of a histogram."""
    return f"sum by (le) ({rate(f'{name}_bucket', where)})"
