"""The paths of MAIL and RCPT: `<local-part@domain>` and the parameters behind it (RFC 5321 section 4.1.2, RFC 6531 section 3.3).

Strict, because what is accepted here is written to a next hop as it stands: angle brackets are required, comments and folding white
space are not known, and no character that could end a line or hide in one gets through. Two leniencies, both asked for by RFC 5321:
a source route is dropped (appendix C), and `<Postmaster>` needs no domain (section 4.5.1).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ADDRESS_LIMIT = 320
"""Octets of an address: 64 for the local part, one for the `@`, 255 for the domain (RFC 5321 section 4.5.3.1). Local parts alone
may be longer: return paths that encode a recipient often are."""
DOMAIN_LIMIT = 255
"""Octets of a domain (RFC 5321 section 4.5.3.1.2)."""
LABEL_LIMIT = 63
"""Octets of one label of a domain (RFC 1035 section 2.3.4)."""

# Above ASCII everything is let through by these classes (RFC 6531), and judged by `str.isprintable` afterwards: it refuses
# controls, separators and the lone surrogates that stand for octets that are not UTF-8.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_QUOTED = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*"'
_LABEL = r"[A-Za-z0-9_\u0080-\U0010ffff](?:[A-Za-z0-9_\-\u0080-\U0010ffff]*[A-Za-z0-9_\u0080-\U0010ffff])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_ROUTE = rf"(?:@{_DOMAIN}(?:,@{_DOMAIN})*:)?"
_PATH = re.compile(
    rf"<(?:{_ROUTE}(?P<local>{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@(?P<domain>{_DOMAIN}|\[[0-9A-Za-z:.]+\])|(?P<postmaster>(?i:postmaster))|)>"
    # Nothing else has letters of one case alone; ignoring it everywhere takes each start 0.1 s, for every character above ASCII.
    r"(?: +(?P<parameters>\S.*)?)?"
)
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-]*")
_VALUE = re.compile(r"[\x21-\x3c\x3e-\x7e]+")


@dataclass(frozen=True, slots=True)
class Path:
    """A path as it was given, and what stood behind it."""

    address: str
    """Without brackets and source route; empty for the null path, without a domain only for `postmaster`."""
    parameters: str = ""

    @property
    def international(self) -> bool:
        """Whether the address has characters beyond ASCII, so that it needs SMTPUTF8 (RFC 6531 section 3.3)."""
        return not self.address.isascii()


def parse_path(text: str) -> Path | None:
    """Read what follows `FROM:` or `TO:`; None when it is not a path."""
    found = _PATH.fullmatch(text)
    if found is None or not text.isprintable():
        return None
    parameters = found["parameters"] or ""
    if found["postmaster"]:
        return Path(found["postmaster"], parameters)
    if found["domain"] is None:
        return Path("", parameters)
    address = f"{found['local']}@{found['domain']}"
    if len(address.encode()) > ADDRESS_LIMIT or not _domain_is_valid(found["domain"]):
        return None
    return Path(address, parameters)


def parse_parameters(words: Sequence[str]) -> dict[str, str | bool] | None:
    """Read the parameters behind a path, `KEYWORD=value` or `KEYWORD`; None when one is malformed or given twice.

    RFC 5321 section 4.1.2, `esmtp-param`.
    """
    parameters: dict[str, str | bool] = {}
    for word in words:
        keyword, equals, value = word.partition("=")
        if not _KEYWORD.fullmatch(keyword) or keyword in parameters or (equals and not _VALUE.fullmatch(value)):
            return None
        parameters[keyword] = value if equals else True
    return parameters


def _domain_is_valid(domain: str) -> bool:
    if domain.startswith("["):
        return _literal_is_valid(domain[1:-1])
    return len(domain.encode()) <= DOMAIN_LIMIT and all(len(label.encode()) <= LABEL_LIMIT for label in domain.split("."))


def _literal_is_valid(literal: str) -> bool:
    """Tell whether *literal* is an address literal without its brackets (RFC 5321 section 4.1.3)."""
    version_6 = literal.lower().startswith("ipv6:")
    try:
        address = ipaddress.ip_address(literal[len("ipv6:") :] if version_6 else literal)
    except ValueError:
        return False
    return (address.version == 6) is version_6  # noqa: PLR2004 the version's own number
