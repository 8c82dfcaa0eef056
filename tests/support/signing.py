"""What tests of DKIM share: keys, and dkimpy as a verifier that asks no DNS."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import dkim
from pydantic import SecretStr

from smtp_gateway.config import signing_keys
from smtp_gateway.config.outgoing import DkimKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ED25519_OF_THE_RFC = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""
"""The private key of RFC 8463 appendix A.2, as PKCS#8."""


@cache
def key(kind: str = "rsa") -> bytes:
    """Return one key of each kind for all tests: making an RSA key takes a tenth of a second and more."""
    return signing_keys.new(kind)


def dkim_key(domain: str = "here.example", selector: str = "k1", kind: str = "rsa") -> DkimKey:
    """Return a key of *domain* as a configuration has it."""
    return DkimKey(domain=domain, selector=selector, private_key=SecretStr(key(kind).decode()))


def published(keys: Iterable[DkimKey]) -> dict[str, str]:
    """Return the records of *keys* by their names."""
    return {
        signing_keys.record_name(one.domain, one.selector): signing_keys.record(
            signing_keys.read(one.private_key.get_secret_value().encode())
        )
        for one in keys
    }


def strings(record: str) -> str:
    """Return *record* as a TXT record has it: in strings of at most 255 octets."""
    return " ".join(f'"{record[at : at + 255]}"' for at in range(0, len(record), 255))


def verdicts(message: bytes, records: dict[str, str]) -> list[bool]:
    """Return whether each signature of *message* verifies, as dkimpy finds with *records* as the DNS."""

    def ask(name: bytes, timeout: int = 5) -> bytes | None:  # noqa: ARG001 as dkimpy calls it
        found = records.get(name.decode().rstrip("."))
        return None if found is None else found.encode()

    count = sum(name.lower() == b"dkim-signature" for name, _ in dkim.rfc822_parse(message)[0])
    return [_verifies(dkim.DKIM(message), index, ask) for index in range(count)]


def _verifies(verifier: dkim.DKIM, index: int, ask: Callable[..., bytes | None]) -> bool:
    try:
        return bool(verifier.verify(idx=index, dnsfunc=ask))
    except dkim.ValidationError:  # so it says that the body is not the one that was signed
        return False
