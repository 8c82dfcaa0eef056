"""A DNS server for tests, on loopback over UDP: answers from a table, and with the failures it is told to give."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from smtp_gateway.resolver import Nameserver, Resolver

if TYPE_CHECKING:
    from types import TracebackType


class NameServer(asyncio.DatagramProtocol):
    """A name server whose zone is a dictionary."""

    def __init__(self) -> None:
        """Begin with an empty zone."""
        self.port = 0
        self.asked: list[tuple[str, str]] = []
        """Every question: name (with its trailing dot) and kind."""
        self._records: dict[tuple[str, str], list[str]] = {}
        self._failing: dict[tuple[str, str], dns.rcode.Rcode | None] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def add(self, name: str, kind: str, *values: str) -> None:
        """Answer questions of *kind* about *name* (with its trailing dot) with *values*; a name without any record does not exist."""
        self._records.setdefault((name, kind), []).extend(values)

    def fail(self, name: str, kind: str = "") -> None:
        """Answer SERVFAIL to every question about *name*, or to those of *kind* alone."""
        self._failing[name, kind] = dns.rcode.SERVFAIL

    def ignore(self, name: str) -> None:
        """Never answer a question about *name*."""
        self._failing[name, ""] = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """Answer a question."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if self._failing.get((name, ""), dns.rcode.NOERROR) is None:
            return
        assert self._transport is not None
        self._transport.sendto(self._answer(query, name, kind).to_wire(), cast("tuple[str, int]", addr))

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        code = self._failing.get((name, ""), self._failing.get((name, kind)))
        end = self._chain(name)[-1]
        exists = any(known == end for known, _ in self._records)
        response.set_rcode(code if code is not None else dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN)
        for asked in self._chain(name) if code is None else ():
            for there in dict.fromkeys(("CNAME", kind)):
                if values := self._records.get((asked, there)):
                    response.answer.append(dns.rrset.from_text(asked, 60, "IN", there, *values))
        return response

    def _chain(self, name: str) -> list[str]:
        """Return *name* and what it stands for by its CNAMEs (RFC 1034 section 3.6.2), each once."""
        names = [name]
        while (values := self._records.get((names[-1], "CNAME"))) and values[0] not in names:
            names.append(values[0])
        return names

    def resolver(self, patience: float = 2.0) -> Resolver:
        """Return a resolver that asks here, and takes loopback for the world."""
        return Resolver(Nameserver("127.0.0.1", self.port), patience, leads_away=lambda _: True)

    async def __aenter__(self) -> Self:
        """Serve on a free port."""
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.port = transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """Stop serving."""
        assert self._transport is not None
        self._transport.close()
