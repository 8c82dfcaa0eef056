"""An observer that tests ask what it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smtp_gateway.telemetry.observer import NullObserver

if TYPE_CHECKING:
    from smtp_gateway.mail.envelope import Peer
    from smtp_gateway.mail.reply import Reply


class RecordingObserver(NullObserver):
    """An observer that remembers what the way in tells."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.events: list[tuple[Any, ...]] = []
        self.open = 0

    def turned_away(self, listener: str, reason: str) -> None:
        """Remember."""
        self.events.append(("turned away", listener, reason))

    def connected(self, listener: str) -> None:
        """Remember."""
        self.open += 1
        self.events.append(("connected", listener))

    def disconnected(self, listener: str) -> None:
        """Remember."""
        self.open -= 1
        self.events.append(("disconnected", listener))

    def authenticated(self, mechanism: str, *, succeeded: bool) -> None:
        """Remember."""
        self.events.append(("authenticated", mechanism, succeeded))

    def shook_hands(self, listener: str, version: str) -> None:
        """Remember."""
        self.events.append(("shook hands", listener, version))

    def handshake_failed(self, listener: str, reason: str) -> None:
        """Remember."""
        self.events.append(("handshake failed", listener, reason))

    def authentication_failed(self, mechanism: str, reason: str) -> None:
        """Remember."""
        self.events.append(("authentication failed", mechanism, reason))

    def refused(self, listener: str, command: str, reply: Reply) -> None:
        """Remember."""
        self.events.append(("refused", listener, command, reply.code, reply.enhanced))

    def accepted(self, peer: Peer, recipients: int, octets: int, seconds: float) -> None:
        """Remember."""
        assert seconds >= 0
        self.events.append(("accepted", peer.identity, recipients, octets))

    def postponed(self, peer: Peer, reply: Reply) -> None:
        """Remember."""
        self.events.append(("postponed", peer.listener, reply.code))
