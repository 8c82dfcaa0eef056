"""A DNS server for tests, on loopback over UDP: answers from a table, and with the failures it is told to give."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

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
        self._failing: dict[str, dns.rcode.Rcode | None] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def add(self, name: str, kind: str, *values: str) -> None:
        """Answer questions of *kind* about *name* (with its trailing dot) with *values*; a name without any record does not exist."""
        self._records.setdefault((name, kind), []).extend(values)

    def fail(self, name: str) -> None:
        """Answer SERVFAIL to every question about *name*."""
        self._failing[name] = dns.rcode.SERVFAIL

    def ignore(self, name: str) -> None:
        """Never answer a question about *name*."""
        self._failing[name] = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """Answer a question."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name in self._failing and self._failing[name] is None:
            return
        assert self._transport is not None
        self._transport.sendto(self._answer(query, name, kind).to_wire(), cast("tuple[str, int]", addr))

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        code = self._failing.get(name)
        exists = any(known == name for known, _ in self._records)
        response.set_rcode(code if code is not None else dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN)
        values = self._records.get((name, kind))
        if values and code is None:
            response.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *values))
        return response

    async def __aenter__(self) -> Self:
        """Serve on a free port."""
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.port = transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """Stop serving."""
        assert self._transport is not None
        self._transport.close()
