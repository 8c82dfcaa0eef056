"""The succession of authorities: a table of its steps, and what holds at every moment of it, whenever the operator looks."""

from __future__ import annotations

import random
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from smtp_gateway.config.certificate import AUTHORITY_LIFETIME, Pair, issue, new_authority, signed_by, validity
from smtp_gateway_operator.authority import OVERLAP, Authority, authority_in, rotated, takeover
from smtp_gateway_operator.issuing import authority, authority_of, leaf, pair_of
from tests.unit.operator.setting import NOW, OWNER

if TYPE_CHECKING:
    from collections.abc import Callable

PREPARED = AUTHORITY_LIFETIME * 2 / 3
"""When the successor is made, after the authority was."""
HOUR = timedelta(hours=1)


def maker(now: datetime) -> Callable[[], Pair]:
    """Return what makes an authority at *now*."""
    return lambda: new_authority("mail.apps SMTP gateway", now)


def at(authority: Authority, now: datetime) -> Authority:
    """Return the authority after a look at *now*."""
    return rotated(authority, now, maker(now))


def certificates(bundle: bytes) -> list[bytes]:
    """Return each certificate of a bundle."""
    return [one.public_bytes(serialization.Encoding.PEM) for one in x509.load_pem_x509_certificates(bundle)]


def trusts(bundle: bytes, certificate: bytes) -> bool:
    """Tell whether a client that has *bundle* accepts what was signed as *certificate* was."""
    return any(signed_by(certificate, one) for one in certificates(bundle))


@pytest.fixture(scope="module")
def first() -> Authority:
    """An authority on its first day."""
    return Authority(maker(NOW)())


@pytest.fixture(scope="module")
def prepared(first: Authority) -> Authority:
    """An authority with a successor that was just made."""
    return at(first, NOW + PREPARED)


@pytest.fixture(scope="module")
def succeeded(prepared: Authority) -> Authority:
    """An authority that has just taken over."""
    return at(prepared, NOW + PREPARED + OVERLAP)


def test_for_two_thirds_of_its_life_nothing_happens(first: Authority) -> None:
    """The very same value comes back, so that nothing is written."""
    assert at(first, NOW) is first
    assert at(first, NOW + PREPARED - HOUR) is first
    assert certificates(first.bundle) == [first.signer.certificate]


def test_then_a_successor_is_published_and_does_not_sign(first: Authority, prepared: Authority) -> None:
    """Clients are shown both for the whole overlap, and nothing that they do not trust yet is signed with the new one."""
    assert prepared.signer == first.signer
    assert prepared.successor is not None
    assert certificates(prepared.bundle) == [first.signer.certificate, prepared.successor.certificate]
    assert at(prepared, NOW + PREPARED + OVERLAP - HOUR) is prepared


def test_after_the_overlap_the_successor_signs(prepared: Authority, succeeded: Authority) -> None:
    """The old key is gone for good; the old certificate stays, for what it signed may still be shown somewhere."""
    assert prepared.successor is not None
    assert succeeded == Authority(prepared.successor, None, prepared.signer.certificate)
    assert certificates(succeeded.bundle) == [prepared.successor.certificate, prepared.signer.certificate]
    assert prepared.signer.key not in succeeded.files.values()


def test_an_expired_authority_is_not_published_any_more(succeeded: Authority) -> None:
    """Then only the one that signs is left, and the story begins again."""
    assert at(succeeded, NOW + AUTHORITY_LIFETIME - HOUR) is succeeded
    last = at(succeeded, NOW + AUTHORITY_LIFETIME)

    assert last == Authority(succeeded.signer)
    assert at(last, NOW + PREPARED * 2 + HOUR).successor is not None


def test_what_is_left_of_a_short_life_is_halved(first: Authority) -> None:
    """An authority from elsewhere may have little time: its successor signs while clients still have half of that to learn of it."""
    left = timedelta(days=100)
    late = maker(NOW + AUTHORITY_LIFETIME - left)()
    found, made = takeover(first.signer.certificate, late.certificate), validity(late.certificate)

    assert found is not None
    assert made is not None
    assert timedelta(days=49) < found - made[0] < timedelta(days=51)


def test_an_authority_that_expired_meanwhile_is_succeeded_at_once(first: Authority) -> None:
    """No client can trust it any more: there is nothing to wait for."""
    now = NOW + AUTHORITY_LIFETIME + timedelta(days=7)
    found = at(first, now)

    assert found.successor is None
    assert found.predecessor is None
    assert found.signer != first.signer


@pytest.mark.parametrize("seed", range(6))
def test_whoever_looked_within_the_overlap_trusts_what_is_shown(seed: int) -> None:
    """Through three authorities and at irregular looks: a client that fetched the bundle up to a year ago trusts today's signer."""
    chance = random.Random(seed)  # noqa: S311 it chooses when to look
    found, now, published = Authority(maker(NOW)()), NOW, list[tuple[datetime, bytes]]()
    signers = {found.signer.certificate}
    while now < NOW + 2 * AUTHORITY_LIFETIME:
        found = at(found, now)
        signers.add(found.signer.certificate)
        life = validity(found.signer.certificate)
        assert life is not None
        assert life[0] <= now < life[1]
        published.append((now, found.bundle))
        recent = [bundle for since, bundle in published if now - since < OVERLAP - timedelta(days=30)]
        assert all(found.signer.certificate in bundle for bundle in recent)
        assert at(found, now) is found  # a look that finds nothing new changes nothing
        now += timedelta(days=chance.choice((1, 3, 10, 30)))
    assert len(signers) >= 3


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
def test_a_successor_that_cannot_be_read_is_made_anew(prepared: Authority, damage: bytes) -> None:
    """Nothing was signed by it, so nothing is lost but the time for which it was published."""
    now = NOW + PREPARED + HOUR
    mended = at(Authority(prepared.signer, Pair(damage, damage)), now)

    assert mended.successor is not None
    assert validity(mended.successor.certificate) is not None
    assert mended.signer == prepared.signer


def test_an_authority_that_cannot_be_read_is_left_alone() -> None:
    """It may be mended from a backup, and clients trust it; who has to sign with it tells the trouble."""
    broken = Authority(Pair(b"nonsense", b"nonsense"))

    assert at(broken, NOW + 2 * AUTHORITY_LIFETIME) is broken


def test_a_predecessor_that_cannot_be_read_is_dropped(first: Authority) -> None:
    """A bundle with nonsense in it would be refused whole by some clients."""
    assert at(Authority(first.signer, None, b"nonsense"), NOW) == first


@pytest.mark.parametrize("name", ["first", "prepared", "succeeded"])
def test_the_secret_says_everything(name: str, request: pytest.FixtureRequest) -> None:
    """What is written is what is read: nothing is remembered elsewhere."""
    found: Authority = request.getfixturevalue(name)

    assert authority_in(found.files) == found


def test_comments_are_not_published(first: Authority) -> None:
    """People write into PEM files, in their own alphabets; a client may read nothing but ASCII."""
    commented = Pair("# Autorität der Poststelle\n".encode() + first.signer.certificate.strip(), first.signer.key)

    assert Authority(commented).bundle == first.signer.certificate
    assert Authority(Pair(b"nonsense", b"nonsense")).bundle == b""


@dataclass
class Handshake:
    """A TLS handshake in memory, without a socket."""

    bundle: bytes
    shown: Pair

    def verified(self, folder: Any) -> bool:
        """Tell whether a client that trusts the bundle alone, and is strict about RFC 5280, accepts what is shown."""
        (folder / "pair.pem").write_bytes(self.shown.certificate + self.shown.key)
        server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        server_side.load_cert_chain(folder / "pair.pem")
        client_side.load_verify_locations(cadata=self.bundle.decode())
        client_side.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_side.wrap_bio(back, there, server_hostname="mail.example.com")
        server = server_side.wrap_bio(there, back, server_side=True)
        for _ in range(4):
            for end in (client, server):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                except ssl.SSLError:
                    return False
        return client.version() is not None


def test_a_strict_client_tells_namesakes_apart(tmp_path: Any) -> None:
    """Authority and successor have one name: whichever comes first in the bundle, the certificates of both are accepted."""
    # The handshake is judged by the machine's clock, unlike everything else here.
    now = datetime.now(tz=NOW.tzinfo)
    old, new, stranger = (new_authority("mail.apps SMTP gateway", now) for _ in range(3))
    for signer in (old, new):
        shown = issue(signer, ["mail.example.com"], now)
        for bundle in (old.certificate + new.certificate, new.certificate + old.certificate):
            assert Handshake(bundle, shown).verified(tmp_path)
        assert not Handshake(stranger.certificate, shown).verified(tmp_path)


def test_the_listeners_certificate_follows_the_signer() -> None:
    """It stays the same while a successor is only published, with both in its `ca.crt`, and is issued anew when that one signs."""
    signer = authority(OWNER, None, NOW)
    shown = leaf(OWNER, "mail.example.com", (signer, None), NOW + PREPARED - HOUR)

    prepared = authority(OWNER, signer, NOW + PREPARED)
    beside = leaf(OWNER, "mail.example.com", (prepared, shown), NOW + PREPARED)
    succeeded = authority(OWNER, prepared, NOW + PREPARED + OVERLAP)
    after = leaf(OWNER, "mail.example.com", (succeeded, beside), NOW + PREPARED + HOUR)

    assert pair_of(beside) == pair_of(shown)
    assert beside["data"]["ca.crt"] != shown["data"]["ca.crt"]
    assert trusts(authority_of(prepared).bundle, pair_of(after).certificate)
    assert trusts(authority_of(succeeded).bundle, pair_of(beside).certificate)
    assert signed_by(pair_of(after).certificate, authority_of(succeeded).signer.certificate)
