"""Who a message says that it is from: the addresses of its From and Sender fields (RFC 5322 section 3.6.2), or that it is not clear.

Mail clients differ in what they make of a header that breaks the rules, and a forger sends one that reads well here and shows another
address there. So this reads the grammar alone, comments, groups and quoted strings included, with one leniency: a display name without
quotes that is itself an address (`a@example.com <a@example.com>`), which programs write and which counts as one more address. Whatever
else is not in the grammar, a field that is missing, there twice, or longer than a page, is None: not clear. Display names are read over,
whatever their encoding: what they say is no address.

Pure, and linear in what it is given. Nothing is decoded: an encoded word (RFC 2047) may not stand in an address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING, NamedTuple

from smtp_gateway.mail.address import domain_of
from smtp_gateway.mail.envelope import END_OF_DATA

if TYPE_CHECKING:
    from collections.abc import Callable

FIELD_LIMIT = 4096
"""Octets of one field: some sixty authors with their names. RFC 5322 has no bound."""
COMMENT_DEPTH = 8
"""Comments in comments; RFC 5322 has no bound, and mail has none of them."""

# Possessive, and the whole section in one look: a loop over its fields would hold the event loop for a quarter of a second where a header
# of the largest size is made of the smallest fields. No field begins with one dot: whoever reads the message loses that dot with those of
# stuffing (RFC 5321 section 4.5.2), so `.From` is From to them, and what follows a dot and a blank goes on the field before it.
_SECTION = re.compile(rb"(?:(?!\.[^.])[\x21-\x39\x3b-\x7e]++[ \t]*+:[^\r\n]*+\r\n(?:[ \t][^\r\n]*+\r\n)*+)*+")
ORIGINATOR = re.compile(rb"^(?P<name>from|sender)[ \t]*+:(?P<value>[^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)\r\n", re.IGNORECASE | re.MULTILINE)
"""A From or Sender field in wire form."""
_ENOUGH = 3
"""Fields of both kinds that are looked for: one more than may be there."""
_TOKEN = re.compile(
    r"(?P<space>[ \t]+)"
    r"|(?P<special>[<>@,;:.])"
    r'|(?P<quoted>"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*")'
    r"|(?P<literal>\[[0-9A-Za-z:.]*\])"
    r'|(?P<atom>[^ \t\x00-\x1f\x7f<>@,;:."()\[\]\\]+)'
)
_IN_COMMENT = re.compile(r"[^()\\\x00-\x08\x0a-\x1f\x7f]+|\\[^\x00-\x08\x0a-\x1f\x7f]")
_WORDS = ("quoted", "atom")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    apart: bool
    """Whether white space or a comment stands before it."""
    start: int
    """Where it begins in the field, folding taken away."""


class _Place(NamedTuple):
    """An address, which stands in one piece."""

    address: str
    start: int


class _UnclearError(Exception):
    """The field is not in the grammar."""


def authors(head: bytes) -> tuple[str, ...] | None:
    """Return the addresses of From and Sender in the message that begins with *head*, its header section as far as there is one.

    None when the section is not whole, is no header, or its From or Sender cannot be read, is there twice, or has no address; a missing
    Sender is none of this.
    """
    fields = _originators(head)
    if fields is None or len(fields["from"]) != 1 or len(fields["sender"]) > 1:
        return None
    try:
        return tuple(place.address for values in fields.values() for value in values for place in _places(value))
    except _UnclearError:
        return None


def author_domains(head: bytes) -> tuple[str, ...]:
    """Return the domains of From's addresses, each once; none where From or the header section is not clear."""
    fields = _originators(head)
    if fields is None or len(fields["from"]) != 1:
        return ()
    try:
        return tuple(dict.fromkeys(domain_of(place.address) for place in _places(fields["from"][0])))
    except _UnclearError:
        return ()


def readdressed(value: bytes, change: Callable[[str], str]) -> bytes | None:
    """Return *value*, the content of a From or Sender field, with what *change* makes of each address; None when it cannot be read.

    Names, comments, groups and folding stay as they are. What *change* returns is written as it is.
    """
    try:
        places = _places(value)
    except _UnclearError:
        return None
    text, folds, changed = _unfolded(value), _folds(value), ""
    position, cuts = 0, []
    for place in [*places, _Place("", len(text))]:
        cuts += [len(changed) + fold - position for fold in folds if position <= fold < place.start]
        changed += text[position : place.start] + (change(place.address) if place.address else "")
        position = place.start + len(place.address)
    # From the last, so that those before stay where they are.
    for cut in reversed(cuts):
        changed = f"{changed[:cut]}\r\n{changed[cut:]}"
    return changed.encode("utf-8", "surrogateescape")


def _unfolded(value: bytes) -> str:
    return value.replace(b"\r\n", b"").decode("utf-8", "surrogateescape")


def _folds(value: bytes) -> list[int]:
    """Return where *value* is folded, as places in the unfolded text; each stands before white space (RFC 5322 section 2.2.3)."""
    lengths = [len(line.decode("utf-8", "surrogateescape")) for line in value.split(b"\r\n")[:-1]]
    return list(accumulate(lengths))


def _places(value: bytes) -> list[_Place]:
    """Return the addresses in the content of a field. Raises `_UnclearError`."""
    if len(value) > FIELD_LIMIT:
        raise _UnclearError
    found = _Reader(_tokens(_unfolded(value))).places()
    # Octets that are no UTF-8, and characters that are not seen, are in no address.
    if not found or not all(place.address.isprintable() for place in found):
        raise _UnclearError
    return found


def _originators(head: bytes) -> dict[str, list[bytes]] | None:
    """Return the contents of the fields in question; None when *head* is not a whole header section of fields alone."""
    end = _SECTION.match(head)
    # A message of a header alone has no line that ends it but the end of the data.
    if end is None or not head.startswith((b"\r\n", END_OF_DATA), end.end()):
        return None
    fields: dict[str, list[bytes]] = {"from": [], "sender": []}
    for found in islice(ORIGINATOR.finditer(head, 0, end.end()), _ENOUGH):
        fields[found["name"].lower().decode()].append(found["value"])
    return fields


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, apart = 0, False
    while position < len(text):
        if text[position] == "(":
            position, apart = _behind_comment(text, position), True
            continue
        found = _TOKEN.match(text, position)
        if found is None:
            raise _UnclearError
        kind = str(found.lastgroup)
        if kind != "space":
            tokens.append(_Token(found[0] if kind == "special" else kind, found[0], apart, position))
        position, apart = found.end(), kind == "space"
    return tokens


def _behind_comment(text: str, position: int) -> int:
    """Return where the comment at *position* has ended."""
    depth = 0
    while position < len(text):
        if text[position] in "()":
            depth += 1 if text[position] == "(" else -1
            position += 1
            if depth == 0:
                return position
            if depth > COMMENT_DEPTH:
                break
            continue
        found = _IN_COMMENT.match(text, position)
        if found is None:
            break
        position = found.end()
    raise _UnclearError


class _Reader:
    """Reads an address list (RFC 5322 section 3.4)."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._found: list[_Place] = []
        self._in_group = False

    def places(self) -> list[_Place]:
        """Return the addresses of the whole list."""
        self._entry()
        while (mark := self._next()) is not None:
            if mark == ",":
                self._entry()
            elif mark == ";" and self._in_group:
                self._in_group = False
                if self._next_is(",", None):
                    continue
                raise _UnclearError
            else:
                raise _UnclearError
        if self._in_group:
            raise _UnclearError
        return self._found

    def _entry(self) -> None:
        """Read a mailbox, or the name of a group and its first mailbox."""
        words = self._until("<", ",", ";", ":")
        mark = self._peek()
        if mark == "<":
            self._position += 1
            if words:
                self._name(words)
            self._found.append(_address(self._until(">")))
            if self._next() != ">" or not self._next_is(",", ";", None):
                raise _UnclearError
        elif mark == ":":
            self._begin_group(words)
        else:
            self._found.append(_address(words))

    def _begin_group(self, words: list[_Token]) -> None:
        if self._in_group or not words or not _is_phrase(words):
            raise _UnclearError
        self._in_group = True
        self._position += 1
        if not self._next_is(";"):
            self._entry()

    def _name(self, words: list[_Token]) -> None:
        """Read over a display name; one that is an address counts as one."""
        if not _is_phrase(words):
            self._found.append(_address(words))

    def _until(self, *marks: str) -> list[_Token]:
        begin = self._position
        while self._position < len(self._tokens) and self._tokens[self._position].kind not in marks:
            self._position += 1
        return self._tokens[begin : self._position]

    def _peek(self) -> str | None:
        return self._tokens[self._position].kind if self._position < len(self._tokens) else None

    def _next_is(self, *marks: str | None) -> bool:
        return self._peek() in marks

    def _next(self) -> str | None:
        kind = self._peek()
        self._position += 1
        return kind


def _is_phrase(words: list[_Token]) -> bool:
    """Tell whether *words* are a display name: words, and dots behind the first (section 4.1, `obs-phrase`)."""
    return words[0].kind in _WORDS and all(word.kind in (*_WORDS, ".") for word in words)


def _address(tokens: list[_Token]) -> _Place:
    """Return the address that *tokens* are; white space and comments are before and behind it alone."""
    at = next((place for place, token in enumerate(tokens) if token.kind == "@"), -1)
    local, domain = tokens[: max(at, 0)], tokens[at + 1 :]
    if any(token.apart for token in tokens[1:]) or not local or not domain:
        raise _UnclearError
    if not (len(local) == 1 and local[0].kind == "quoted") and not _is_dotted(local):
        raise _UnclearError
    if not (len(domain) == 1 and domain[0].kind == "literal") and not _is_dotted(domain):
        raise _UnclearError
    return _Place("".join(token.text for token in tokens), tokens[0].start)


def _is_dotted(tokens: list[_Token]) -> bool:
    """Tell whether *tokens* are atoms with a dot between each two."""
    return len(tokens) % 2 == 1 and all(token.kind == ("." if place % 2 else "atom") for place, token in enumerate(tokens))
