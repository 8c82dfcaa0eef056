"""A gateway's certificate authority, and how one follows another without breaking a client.

A client trusts what it was given, perhaps long ago. So an authority is not replaced but succeeded, in three steps:

1. After two thirds of its life a successor is made and published beside it. The old one still signs.
2. After `OVERLAP`, or half of what was left of the old one's life if that is shorter, the successor signs. The old one's key is gone
   for good; its certificate stays published.
3. When the old certificate has expired, it is not published any more.

So whoever fetched the published certificates at any time within the overlap before a handshake trusts what is shown in it. Nothing is
remembered but the certificates themselves: each step follows from them and the time, and an operator that was away takes it late.

What can go wrong: an authority that cannot be read is left as it is, because it may be mended from a backup. One that expired while
the operator was away is succeeded at once; clients have to be told, as nothing could have been published for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from smtp_gateway.config.certificate import Pair, certificates_in, renewal_due, validity
from smtp_gateway_operator.names import TLS_CERTIFICATE, TLS_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

OVERLAP = timedelta(days=365)
"""How long a successor is published before it signs: clients with the certificates in their image are built anew within a year."""
SUCCESSOR_CERTIFICATE, SUCCESSOR_KEY = "successor.crt", "successor.key"
PREDECESSOR_CERTIFICATE = "predecessor.crt"
"""Where they are in the authority's Secret, beside `tls.crt` and `tls.key` of the one that signs."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority that signs, with the one that comes after it and the one that came before, if any."""

    signer: Pair
    successor: Pair | None = None
    predecessor: bytes | None = None
    """Its certificate (PEM); nobody needs its key any more."""

    @property
    def bundle(self) -> bytes:
        """What clients should trust, PEM: the certificate of the one that signs first."""
        parts = (self.signer.certificate, self.successor.certificate if self.successor else b"", self.predecessor or b"")
        return b"".join(certificates_in(part) for part in parts)

    @property
    def pair(self) -> Pair:
        """What signs, with everything that is to be trusted meanwhile: whoever signs with it takes the first certificate."""
        return Pair(self.bundle, self.signer.key)

    @property
    def files(self) -> dict[str, bytes]:
        """What its Secret holds."""
        files = {TLS_CERTIFICATE: self.signer.certificate, TLS_KEY: self.signer.key}
        if self.successor is not None:
            files |= {SUCCESSOR_CERTIFICATE: self.successor.certificate, SUCCESSOR_KEY: self.successor.key}
        if self.predecessor is not None:
            files[PREDECESSOR_CERTIFICATE] = self.predecessor
        return files


def authority_in(files: Mapping[str, bytes]) -> Authority:
    """Return the authority that the *files* of its Secret hold. Raises `KeyError` when the one that signs is not there."""
    successor = None
    if SUCCESSOR_CERTIFICATE in files and SUCCESSOR_KEY in files:
        successor = Pair(files[SUCCESSOR_CERTIFICATE], files[SUCCESSOR_KEY])
    return Authority(Pair(files[TLS_CERTIFICATE], files[TLS_KEY]), successor, files.get(PREDECESSOR_CERTIFICATE))


def rotated(authority: Authority, now: datetime, make: Callable[[], Pair]) -> Authority:
    """Return *authority* as it should be at *now*; a successor comes from *make*. The same value when no step is due."""
    if validity(authority.signer.certificate) is None:
        return authority
    return _retired(_succeeded(_prepared(authority, now, make), now), now)


def takeover(old: bytes, new: bytes) -> datetime | None:
    """Return when the authority *new* begins to sign in the place of *old* (both PEM); None when either cannot be read."""
    leaving, coming = validity(old), validity(new)
    if leaving is None or coming is None:
        return None
    return coming[0] + min(OVERLAP, max(leaving[1] - coming[0], timedelta()) / 2)


def _prepared(authority: Authority, now: datetime, make: Callable[[], Pair]) -> Authority:
    """Make a successor when it is time. One that cannot be read is made anew: nothing was signed by it yet."""
    readable = authority.successor is not None and validity(authority.successor.certificate) is not None
    if readable or not (authority.successor or renewal_due(authority.signer, now)):
        return authority
    return replace(authority, successor=make())


def _succeeded(authority: Authority, now: datetime) -> Authority:
    if authority.successor is None:
        return authority
    due = takeover(authority.signer.certificate, authority.successor.certificate)
    if due is None or now < due:
        return authority
    return Authority(authority.successor, None, authority.signer.certificate)


def _retired(authority: Authority, now: datetime) -> Authority:
    life = validity(authority.predecessor) if authority.predecessor is not None else None
    gone = authority.predecessor is not None and (life is None or now >= life[1])
    return replace(authority, predecessor=None) if gone else authority
