"""What is done to a message between its route and its next hop: who it is from is rewritten, and then it is signed.

Both are decided anew at each attempt, because a route, a rule or a key may have changed; while they have not, each attempt sends the same
octets (`smtp_gateway.content.dkim`). What was made of a message is kept for a while: a message to many domains is signed once.

Nothing is lost by a fault here: what nobody foresaw is a deferral, as anywhere in an attempt. A message that cannot be signed goes
unsigned: its From is in no domain with a key or cannot be read (which no verifier accepts either), or it may be anybody's, because its
client is neither known by a login nor by its network. To sign that would lend the domain's name to strangers.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from smtp_gateway.config import signing_keys
from smtp_gateway.content.authors import author_domains
from smtp_gateway.content.dkim import Section, Signature
from smtp_gateway.content.relaxed import BodyHash
from smtp_gateway.content.rewriting import Rewriting, Rule
from smtp_gateway.content.submission import HEAD_LIMIT
from smtp_gateway.delivery.transaction import Mail
from smtp_gateway.mail.address import normalise_domain
from smtp_gateway.mail.body import Body, beginning, topped
from smtp_gateway.mail.envelope import END_OF_DATA
from smtp_gateway.mail.unstuffed import Unstuffing
from smtp_gateway.policy.senders import AllowedSenders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smtp_gateway.config.model import Config, Route
    from smtp_gateway.config.outgoing import DkimKey, Rewrite
    from smtp_gateway.config.signing_keys import SigningKey
    from smtp_gateway.mail.outcome import Outcome
    from smtp_gateway.spool.api import Entry

KEPT = 256
"""Messages of which the header is kept as it goes out: some 3 KiB each. One is needed again within its attempt, or not for half a minute."""
LARGEST_KEPT = 16 * 1024
"""Octets of one that is kept: so all of them together have at most 4 MiB. A longer one is made anew each time."""
LONGEST_HEAD = 2 * HEAD_LIMIT
"""Octets of a header section that is looked at: what a client with a login may send, with the trace in front of it, and as much again."""
_EMPTY_LINE = b"\r\n"


@dataclass(frozen=True, slots=True)
class Top:
    """What stands in the place of a message's first octets."""

    octets: bytes
    instead_of: int


AS_IT_IS = Top(b"", 0)


@dataclass(frozen=True, slots=True)
class _Signer:
    domain: str
    selector: str
    algorithm: str
    key: SigningKey

    @classmethod
    def of(cls, configured: DkimKey) -> _Signer:
        key = signing_keys.read(configured.private_key.get_secret_value().encode())
        return cls(normalise_domain(configured.domain), configured.selector, signing_keys.algorithm(key), key)

    @property
    def quick(self) -> bool:
        """Whether it signs in a tenth of a millisecond (Ed25519), which is less than asking a thread costs."""
        return self.algorithm != "rsa-sha256"


class Outgoing:
    """What one configuration makes of messages on their way out."""

    def __init__(self, config: Config) -> None:
        """Rewrite and sign as *config* says."""
        self._rewritings = {route.name: _rewriting(route.rewrite) for route in config.routes if route.rewrite is not None}
        self._signers: dict[str, list[_Signer]] = defaultdict(list)
        for key in config.dkim:
            self._signers[normalise_domain(key.domain)].append(_Signer.of(key))
        self._strangers = frozenset(f"listener/{listener.name}" for listener in config.listeners if listener.allowed_recipient_domains)
        self._known = frozenset(f"listener/{listener.name}" for listener in config.listeners) - self._strangers
        self._kept: OrderedDict[tuple[str, str], Top] = OrderedDict()
        # A thread of its own, because a comparison of passwords may keep the common ones for a second.
        self._thread = ThreadPoolExecutor(1, "dkim")

    @classmethod
    def of(cls, config: Config) -> Outgoing | None:
        """Return what *config* asks for; None when that is nothing."""
        asked = config.dkim or any(route.rewrite is not None for route in config.routes)
        return cls(config) if asked else None

    async def mail(self, mail: Mail, entry: Entry, route: Route) -> Mail:
        """Return *mail*, a message of *entry*, as it is sent on *route*. Raises what reading its body raises."""
        rewriting = self._rewritings.get(route.name)
        if rewriting is None and not self._signers:
            return mail
        key = (entry.id, route.name if rewriting else "")
        top = self._kept.get(key)
        if top is None:
            top = await self._top(mail.body, entry, rewriting)
            self._keep(key, top)
        envelope = mail.envelope if rewriting is None else replace(mail.envelope, sender=rewriting.sender(mail.envelope.sender))
        return Mail(envelope, mail.body if top is AS_IT_IS else topped(mail.body, top.octets, top.instead_of))

    def _keep(self, key: tuple[str, str], top: Top) -> None:
        if len(top.octets) <= LARGEST_KEPT:
            self._kept[key] = top
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    async def _top(self, body: Body, entry: Entry, rewriting: Rewriting | None) -> Top:
        """Return how the message begins when it goes out."""
        head = await _head(body)
        end = _end_of_section(head, whole=isinstance(body, bytes))
        if end is None:
            return AS_IT_IS
        section = head[:end] if rewriting is None else rewriting.section(head[:end])
        signers = self._signers_of(section, entry)
        signatures = await self._signed(signers, section, entry, await _body_hash(body, end)) if signers else b""
        return Top(signatures + section, end) if signatures or rewriting else AS_IT_IS

    def _signers_of(self, section: bytes, entry: Entry) -> Sequence[_Signer]:
        """Return who signs: for each domain of From the keys of the nearest domain that has any."""
        if not self._signers or not self._vouched_for(entry.identity):
            return ()
        near = dict.fromkeys(self._nearest(domain) for domain in author_domains(section + _EMPTY_LINE))
        return [signer for domain in near if domain for signer in self._signers[domain]]

    def _vouched_for(self, identity: str) -> bool:
        """Tell whether the message is of a client that was known: by a login, by its network, or the gateway itself."""
        return identity in self._known or not identity.startswith("listener/")

    def _nearest(self, domain: str) -> str:
        """Return *domain*, or the nearest above it, that has keys; nothing when none has."""
        while domain and domain not in self._signers:
            domain = domain.partition(".")[2]
        return domain

    async def _signed(self, signers: Sequence[_Signer], section: bytes, entry: Entry, body_hash: bytes) -> bytes:
        """Return the signatures' fields; none where the header section is no mail program's."""
        read = Section(section)
        if not read.signable:
            return b""
        fields = []
        for signer in signers:
            field = read.unsigned(Signature(signer.domain, signer.selector, signer.algorithm, int(entry.accepted_at)), body_hash)
            if signer.quick:
                fields.append(field.signed(signing_keys.signature(signer.key, field.octets)))
            else:
                loop = asyncio.get_running_loop()
                fields.append(field.signed(await loop.run_in_executor(self._thread, signing_keys.signature, signer.key, field.octets)))
        return b"".join(fields)


@dataclass(frozen=True, slots=True)
class Leaving:
    """A message in an attempt."""

    entry: Entry
    body: Body
    outgoing: Outgoing | None
    """What is made of it by the configuration that chose its routes; None: nothing."""
    outcomes: dict[str, Outcome]
    """What it has come to so far, by recipient: known also when the attempt is interrupted."""


def _rewriting(rewrite: Rewrite) -> Rewriting:
    rules = tuple(Rule(AllowedSenders(one.match).allow if one.match else None, one.address) for one in rewrite.senders)
    return Rewriting(rules, rewrite.original_header, rewrite.reply_to)


async def _head(body: Body) -> bytes:
    """Return the beginning of *body*, with its header section if that has no more than `LONGEST_HEAD` octets."""
    head = beginning(body)
    if isinstance(body, bytes) or _end_of_section(head, whole=False) is not None:
        return head
    head = b""
    async for block in body.blocks():
        head += block
        if len(head) >= LONGEST_HEAD or _end_of_section(head, whole=False) is not None:
            break
    return head


def _end_of_section(head: bytes, *, whole: bool) -> int | None:
    """Return where the header section ends, the empty line not counted; None when it is not known. *whole* says that nothing follows."""
    if head.startswith(_EMPTY_LINE):
        return 0
    end = head.find(_EMPTY_LINE + _EMPTY_LINE)
    if end >= 0:
        return end + len(_EMPTY_LINE)
    return len(head) - len(END_OF_DATA) if whole else None


async def _body_hash(body: Body, section: int) -> bytes:
    """Return the hash of what stands behind the header *section* and the empty line."""
    hashed, unstuffing = BodyHash(), Unstuffing()
    if isinstance(body, bytes):
        hashed.feed(unstuffing.feed(body[section:].removeprefix(_EMPTY_LINE)))
        return hashed.digest()
    skip = section + len(_EMPTY_LINE)
    async for block in body.blocks():
        hashed.feed(unstuffing.feed(block[skip:]))
        skip = max(skip - len(block), 0)
    return hashed.digest()
