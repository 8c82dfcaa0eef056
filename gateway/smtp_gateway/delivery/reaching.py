"""How a session with one next hop comes about: which of its ports and addresses are tried, and how many.

A next hop may have alternate ports, for networks that block port 25. They are tried in their order when nobody greets on the one before:
no connection, or one on which nothing comes, as behind a proxy that answers for everybody. A server that greets has answered, whatever
else goes wrong, and on another port it would say the same. The port that answered is the first one next time; the way back to the
configured one is found by the probes, which begin with it each time (`smtp_gateway.probing`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.delivery.faults import HopUnusableError, LeadsBackError, SilentPortError, TlsUnusableError, UnknownHostError
from smtp_gateway.delivery.session import Hop, Session, open_session, ways
from smtp_gateway.mail.outcome import LEADS_BACK, UNEXPECTED
from smtp_gateway.resolver import LookupFailedError, NoSuchNameError, OwnAddressError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.config.model import Smarthost
    from smtp_gateway.delivery.reachability import Reachability
    from smtp_gateway.delivery.settings import Settings
    from smtp_gateway.resolver import Resolver

CONNECTIONS = 5
"""Connections to one port of a next hop after which an attempt tries no further address, as many as Postfix tries addresses
(smtp_mx_address_limit): a long list must not hold a message for hours, nor may each address do so twice, under TLS and in the clear."""
SILENT_ADDRESSES = 2
"""Addresses that are tried on a port while there is another port: when nobody greets at two of them, it is the port and not the addresses."""


def addresses_on(port: int, smarthost: Smarthost, addresses: Sequence[str]) -> Sequence[str]:
    """Return which of *addresses* are tried on *port* of *smarthost*."""
    return addresses[:SILENT_ADDRESSES] if smarthost.alternate_ports and port != smarthost.alternate_ports[-1] else addresses[:CONNECTIONS]


class Reaching:
    """Opens sessions."""

    def __init__(self, resolver: Resolver, settings: Settings, reachability: Reachability) -> None:
        """Resolve names by *resolver*, open sessions as *settings* say, and keep in *reachability* what came of it."""
        self._resolver = resolver
        self._settings = settings
        self._reachability = reachability

    async def session(self, smarthost: Smarthost) -> Session:
        """Open a session at the first place of *smarthost* that holds one. Raises `HopUnusableError`."""
        addresses = await self._addresses(smarthost)
        last = HopUnusableError(UNEXPECTED)
        for port in self._reachability.ports(smarthost):
            try:
                session = await self._on(port, smarthost, addresses_on(port, smarthost, addresses))
            except SilentPortError as fault:
                last = fault
            else:
                self._reachability.reached(smarthost, port)
                return session
        raise last

    async def _addresses(self, smarthost: Smarthost) -> tuple[str, ...]:
        try:
            return await self._resolver.addresses(smarthost.host)
        except (NoSuchNameError, LookupFailedError) as fault:
            # A configured name that does not exist may be a Service that is not there yet: temporary, as everything here.
            unknown = UnknownHostError(f"Looking up the next hop failed: {fault}")
            raise HopUnusableError(unknown.deferral(f"{smarthost.host.rstrip('.')}:{smarthost.port}")) from fault
        except OwnAddressError as fault:
            raise LeadsBackError(LEADS_BACK) from fault

    async def _on(self, port: int, smarthost: Smarthost, addresses: Sequence[str]) -> Session:
        """Open a session on *port* of the first address that holds one.

        Raises `SilentPortError` when nobody greeted at any of *addresses*, else the last `HopUnusableError` of one that did.
        """
        opened = 0
        silent: HopUnusableError = HopUnusableError(UNEXPECTED)
        last: HopUnusableError | None = None
        for address in addresses:
            for way in ways(Hop.at(address, port, smarthost)):
                opened += 1
                try:
                    return await open_session(way, self._settings)
                except SilentPortError as fault:
                    silent = fault
                    break
                except TlsUnusableError as fault:
                    last = fault
                except HopUnusableError as fault:
                    last = fault
                    break
            if opened >= CONNECTIONS or (last is not None and last.lasting):
                break
        raise last or silent
