"""What labels will say: told beforehand, so that counters are there at 0 before their first event, and what has left can be dropped."""

from __future__ import annotations

from dataclasses import dataclass

from smtp_gateway.telemetry.bounds import NOTICES, OTHER


@dataclass(frozen=True, slots=True)
class Words:
    """What the program says itself."""

    connections: tuple[str, ...] = ()
    """Why connections are turned away."""
    versions: tuple[str, ...] = ()
    """Versions of TLS."""
    handshakes: tuple[str, ...] = ()
    """Why handshakes fail."""
    mechanisms: tuple[str, ...] = ()
    """Mechanisms of AUTH."""
    authentications: tuple[str, ...] = ()
    """Why exchanges of AUTH give no login."""
    refusals: tuple[tuple[str, str], ...] = ()
    """Commands with the codes that refuse them most."""
    postponements: tuple[str, ...] = ()
    """Codes with which messages are left with their clients."""
    notices: tuple[tuple[str, str], ...] = ()
    """Kinds of notices with what becomes of them."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a configuration gives names to."""

    listeners: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    identities: frozenset[str] = frozenset()
    """Whose mail there is."""
    arrivals: tuple[tuple[str, str], ...] = ()
    """Listeners with the identities that may send there."""
    departures: tuple[tuple[str, str], ...] = ()
    """Routes with the identities whose mail may take them."""

    def have(self, labels: tuple[str, ...], values: tuple[str, ...]) -> bool:
        """Tell whether all names among the *values* of *labels* are in the configuration."""
        said = dict(zip(labels, values, strict=True))
        return (
            ("listener" not in said or said["listener"] in self.listeners)
            and ("route" not in said or said["route"] in self.routes)
            and ("identity" not in said or said["identity"] in self.identities or said["identity"] in {NOTICES, OTHER})
        )
