"""What may be observed of a running gateway. Stages return values; only the session and the two conductors tell the observer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from smtp_gateway.mail.encryption import Encryption
    from smtp_gateway.mail.envelope import Peer
    from smtp_gateway.mail.reply import Reply


class Observer(Protocol):
    """Everything that is counted. Each call is cheap, never blocks and never raises."""

    def turned_away(self, listener: str, reason: str) -> None:
        """Count a connection to *listener* that was closed without a session, for *reason*: one of a few words of the gateway."""

    def connected(self, listener: str) -> None:
        """Count a session that a client opened on *listener*."""

    def disconnected(self, listener: str) -> None:
        """Count the end of a session that `connected` counted."""

    def shook_hands(self, listener: str, version: str) -> None:
        """Count a TLS handshake on *listener* that came to its end: with `TLSv1.2` or `TLSv1.3`."""

    def handshake_failed(self, listener: str, reason: str) -> None:
        """Count a TLS handshake on *listener* that failed for *reason*, one of a few words."""

    def authenticated(self, mechanism: str, *, succeeded: bool) -> None:
        """Count one AUTH exchange with *mechanism* that came to an end."""

    def authentication_failed(self, mechanism: str, reason: str) -> None:
        """Count one AUTH exchange with *mechanism* that gave no login, by *reason* (`smtp_gateway.authentication.Reason`)."""

    def refused(self, listener: str, command: str, reply: Reply) -> None:
        """Count a command (MAIL, RCPT, DATA, AUTH, ...) that was answered 4yz or 5yz."""

    def accepted(self, peer: Peer, recipients: int, octets: int, seconds: float) -> None:
        """Count a message that was made durable, before its 250 is sent, *seconds* after the end of its data."""

    def postponed(self, peer: Peer, reply: Reply) -> None:
        """Count a message that the spool could not take, so that its client keeps it."""

    def synced(self, messages: int, seconds: float) -> None:
        """Count one commit of the spool that made *messages* durable in *seconds*."""

    def attempted(self, route: str, seconds: float, *, again: bool) -> None:
        """Count one delivery attempt over *route*, whatever came of it; *again* when it was not the first of one of its recipients."""

    def delivered(self, route: str, identity: str, recipients: int, age: float) -> None:
        """Count recipients of *identity* (empty: of the gateway's own notices) that a next hop took, *age* seconds after they were accepted."""

    def encrypted(self, route: str, recipients: int, encryption: Encryption) -> None:
        """Count those of them whose message travelled under TLS."""

    def deferred(self, route: str, identity: str, recipients: int) -> None:
        """Count recipients of *identity* that will be tried again."""

    def bounced(self, route: str, identity: str, recipients: int) -> None:
        """Count recipients of *identity* that failed for good."""

    def throttled(self, route: str) -> None:
        """Count an answer by which a next hop of *route* asked for less."""

    def notified(self, kind: str, fate: str) -> None:
        """Count a notice of *kind* that was due, by its *fate*, each one of a few words (`smtp_gateway.bouncing`)."""

    def removed(self) -> None:
        """Count a message that a person took out of the queue."""


class NullObserver:
    """An observer that looks away."""

    def turned_away(self, listener: str, reason: str) -> None:
        """Do nothing."""

    def connected(self, listener: str) -> None:
        """Do nothing."""

    def disconnected(self, listener: str) -> None:
        """Do nothing."""

    def shook_hands(self, listener: str, version: str) -> None:
        """Do nothing."""

    def handshake_failed(self, listener: str, reason: str) -> None:
        """Do nothing."""

    def authenticated(self, mechanism: str, *, succeeded: bool) -> None:
        """Do nothing."""

    def authentication_failed(self, mechanism: str, reason: str) -> None:
        """Do nothing."""

    def refused(self, listener: str, command: str, reply: Reply) -> None:
        """Do nothing."""

    def accepted(self, peer: Peer, recipients: int, octets: int, seconds: float) -> None:
        """Do nothing."""

    def postponed(self, peer: Peer, reply: Reply) -> None:
        """Do nothing."""

    def synced(self, messages: int, seconds: float) -> None:
        """Do nothing."""

    def attempted(self, route: str, seconds: float, *, again: bool) -> None:
        """Do nothing."""

    def delivered(self, route: str, identity: str, recipients: int, age: float) -> None:
        """Do nothing."""

    def encrypted(self, route: str, recipients: int, encryption: Encryption) -> None:
        """Do nothing."""

    def deferred(self, route: str, identity: str, recipients: int) -> None:
        """Do nothing."""

    def bounced(self, route: str, identity: str, recipients: int) -> None:
        """Do nothing."""

    def throttled(self, route: str) -> None:
        """Do nothing."""

    def notified(self, kind: str, fate: str) -> None:
        """Do nothing."""

    def removed(self) -> None:
        """Do nothing."""


class Forwarding:
    """An observer that tells another one everything: what decorators begin with."""

    def __init__(self, observer: Observer) -> None:
        """Pass on to *observer*."""
        self._next = observer

    def turned_away(self, listener: str, reason: str) -> None:
        """Pass on."""
        self._next.turned_away(listener, reason)

    def connected(self, listener: str) -> None:
        """Pass on."""
        self._next.connected(listener)

    def disconnected(self, listener: str) -> None:
        """Pass on."""
        self._next.disconnected(listener)

    def shook_hands(self, listener: str, version: str) -> None:
        """Pass on."""
        self._next.shook_hands(listener, version)

    def handshake_failed(self, listener: str, reason: str) -> None:
        """Pass on."""
        self._next.handshake_failed(listener, reason)

    def authenticated(self, mechanism: str, *, succeeded: bool) -> None:
        """Pass on."""
        self._next.authenticated(mechanism, succeeded=succeeded)

    def authentication_failed(self, mechanism: str, reason: str) -> None:
        """Pass on."""
        self._next.authentication_failed(mechanism, reason)

    def refused(self, listener: str, command: str, reply: Reply) -> None:
        """Pass on."""
        self._next.refused(listener, command, reply)

    def accepted(self, peer: Peer, recipients: int, octets: int, seconds: float) -> None:
        """Pass on."""
        self._next.accepted(peer, recipients, octets, seconds)

    def postponed(self, peer: Peer, reply: Reply) -> None:
        """Pass on."""
        self._next.postponed(peer, reply)

    def synced(self, messages: int, seconds: float) -> None:
        """Pass on."""
        self._next.synced(messages, seconds)

    def attempted(self, route: str, seconds: float, *, again: bool) -> None:
        """Pass on."""
        self._next.attempted(route, seconds, again=again)

    def delivered(self, route: str, identity: str, recipients: int, age: float) -> None:
        """Pass on."""
        self._next.delivered(route, identity, recipients, age)

    def encrypted(self, route: str, recipients: int, encryption: Encryption) -> None:
        """Pass on."""
        self._next.encrypted(route, recipients, encryption)

    def deferred(self, route: str, identity: str, recipients: int) -> None:
        """Pass on."""
        self._next.deferred(route, identity, recipients)

    def bounced(self, route: str, identity: str, recipients: int) -> None:
        """Pass on."""
        self._next.bounced(route, identity, recipients)

    def throttled(self, route: str) -> None:
        """Pass on."""
        self._next.throttled(route)

    def notified(self, kind: str, fate: str) -> None:
        """Pass on."""
        self._next.notified(kind, fate)

    def removed(self) -> None:
        """Pass on."""
        self._next.removed()
