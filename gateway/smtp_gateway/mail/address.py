"""Mail addresses as envelopes carry them: `local-part@domain`, or the empty string for the null reverse-path."""

from __future__ import annotations

NULL_SENDER = ""
"""The null reverse-path `<>` of notifications (RFC 5321 section 4.5.5): mail from it is never bounced."""


def domain_of(address: str) -> str:
    """Return the domain of *address* in lower case, without a trailing dot; empty for the null sender.

    The last `@` divides, because a quoted local part may hold others (RFC 5321 section 4.1.2).
    """
    return normalise_domain(address.rpartition("@")[2]) if "@" in address else ""


def normalise_domain(domain: str) -> str:
    """Return *domain* in the one form that comparisons use: lower case, without a trailing dot."""
    return domain.lower().rstrip(".")


def domain_matches(pattern: str, domain: str) -> bool:
    """Tell whether *domain* is meant by *pattern*: the same domain, or with `*.` before it any domain beneath it."""
    wanted, given = normalise_domain(pattern), normalise_domain(domain)
    if wanted.startswith("*."):
        return given.endswith(wanted[1:])
    return given == wanted
