from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from smtp_gateway.config.hashes import hashed
from smtp_gateway.config.model import Login
from smtp_gateway.policy import auth
from smtp_gateway.policy.auth import Credentials, Identity, Logins, Question

if TYPE_CHECKING:
    from collections.abc import Callable

APP = Login(login="app", password=SecretStr("secret"), identity="app-logins")
UTF8 = Login(login="müller", password=SecretStr("paßwort"), identity="people")
CHEAP = "$2b$04$" + "a" * 53
COSTLY = "$argon2id$v=19$m=65536,t=3,p=4$" + "a" * 22 + "$" + "b" * 43
BILLING = Login(login="billing", password=SecretStr(CHEAP), identity="billing")
SHOP = Login(login="shop", password=SecretStr(COSTLY), identity="shop")


@pytest.fixture
def logins() -> Logins:
    """Two logins of two Secrets."""
    return Logins([APP, UTF8])


@pytest.fixture
def hashes() -> Logins:
    """One plain login, and two that are hashed."""
    return Logins([APP, BILLING, SHOP])


def asked(logins: Logins, login: bytes, password: bytes) -> Question:
    """Return the question that these credentials end in."""
    found = logins.ask(Credentials(login, password))
    assert isinstance(found, Question)
    return found


def test_the_right_password_gives_the_identity(logins: Logins) -> None:
    """Logins and passwords are octets in UTF-8."""
    assert logins.ask(Credentials(b"app", b"secret")) == Identity("app", "app-logins")
    assert logins.ask(Credentials("müller".encode(), "paßwort".encode())) == Identity("müller", "people")


@pytest.mark.parametrize(
    ("login", "password"),
    [
        (b"app", b"Secret"),
        (b"app", b"secre"),
        (b"app", b"secrets"),
        (b"app", b""),
        (b"APP", b"secret"),
        (b"", b""),
        (b"", b"secret"),
        (b"other", b"secret"),
        (b"app", "paßwort".encode()),
        (b"\xff\x00", b"\xff"),
    ],
)
def test_everything_else_gives_nobody(logins: Logins, login: bytes, password: bytes) -> None:
    """A wrong password, an unknown login and octets that are no text are refused alike."""
    assert logins.ask(Credentials(login, password)) is None


def test_without_logins_nobody_gets_in() -> None:
    """Neither does the stand-in that unknown logins are compared with."""
    nobody = Logins([])

    assert nobody.ask(Credentials(b"", b"")) is None
    assert nobody.ask(Credentials(b"app", b"secret")) is None


def test_new_logins_replace_the_old(logins: Logins) -> None:
    """A removed login is refused and a changed password counts from then on."""
    logins.reconfigure([APP.model_copy(update={"password": SecretStr("new")})])

    assert logins.ask(Credentials(b"app", b"new")) == Identity("app", "app-logins")
    assert logins.ask(Credentials(b"app", b"secret")) is None
    assert logins.ask(Credentials("müller".encode(), "paßwort".encode())) is None


@pytest.mark.parametrize("login", [b"app", b"nobody"])
def test_known_and_unknown_logins_cost_one_comparison_of_equal_length(
    logins: Logins, monkeypatch: pytest.MonkeyPatch, login: bytes
) -> None:
    """The time of an answer says neither whether a login exists nor how long its password is."""
    seen: list[tuple[int, int]] = []
    compare: Callable[[bytes, bytes], bool] = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        seen.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    logins.ask(Credentials(login, b"x"))
    logins.ask(Credentials(login, b"x" * 1000))

    assert seen == [(32, 32), (32, 32)]


def test_no_plain_password_is_kept(logins: Logins) -> None:
    """What the object holds does not contain a password, and neither does what a client showed say it."""
    assert "'secret'" not in repr(vars(logins))
    assert repr(Credentials(b"app", b"secret")) == "Credentials()"


def test_a_hash_is_a_question_to_whoever_has_the_time(hashes: Logins) -> None:
    """The answer decides, and plain logins are answered at once as before."""
    question = asked(hashes, b"billing", b"right")

    assert question.hashed == hashed(CHEAP)
    assert hashes.settle(question, right=True) == Identity("billing", "billing")
    assert hashes.settle(asked(hashes, b"shop", b"wrong"), right=False) is None
    assert hashes.ask(Credentials(b"app", b"secret")) == Identity("app", "app-logins")


@pytest.mark.parametrize(("login", "password"), [(b"nobody", b"x"), (b"app", b"wrong"), (b"", b"")])
def test_where_logins_are_hashed_whatever_is_wrong_costs_a_hash(hashes: Logins, login: bytes, password: bytes) -> None:
    """An unknown login and a wrong plain password cost the costliest hash, and its answer counts for nothing."""
    question = asked(hashes, login, password)

    assert question.hashed == hashed(COSTLY)
    assert hashes.settle(question, right=True) is None
    assert asked(hashes, login, password) == question


def test_what_was_right_is_not_asked_again(hashes: Logins) -> None:
    """A client with a connection for each message costs one hash."""
    hashes.settle(asked(hashes, b"billing", b"right"), right=True)

    assert hashes.ask(Credentials(b"billing", b"right")) == Identity("billing", "billing")
    assert isinstance(hashes.ask(Credentials(b"billing", b"other")), Question)
    assert isinstance(hashes.ask(Credentials(b"shop", b"right")), Question)


def test_what_was_wrong_is_asked_again(hashes: Logins) -> None:
    """A failure is no truth: nothing is remembered of it."""
    hashes.settle(asked(hashes, b"billing", b"wrong"), right=False)

    assert isinstance(hashes.ask(Credentials(b"billing", b"wrong")), Question)


def test_another_hash_forgets_what_was_right_for_the_one_before(hashes: Logins) -> None:
    """A changed Secret counts at once; a configuration that leaves the login as it is forgets nothing."""
    hashes.settle(asked(hashes, b"billing", b"right"), right=True)
    hashes.reconfigure([BILLING])
    assert hashes.ask(Credentials(b"billing", b"right")) == Identity("billing", "billing")

    hashes.reconfigure([BILLING.model_copy(update={"password": SecretStr(COSTLY)})])
    assert isinstance(hashes.ask(Credentials(b"billing", b"right")), Question)
    hashes.reconfigure([BILLING])
    assert isinstance(hashes.ask(Credentials(b"billing", b"right")), Question)


@pytest.mark.parametrize("after", [[], [BILLING.model_copy(update={"password": SecretStr(COSTLY)})]])
def test_an_answer_about_a_hash_that_is_gone_counts_for_nothing(hashes: Logins, after: list[Login]) -> None:
    """A login that was removed or changed while its old hash was compared with does not get in by it."""
    question = asked(hashes, b"billing", b"right")
    hashes.reconfigure(after)

    assert hashes.settle(question, right=True) is None


def test_a_hash_of_no_password_opens_nothing(hashes: Logins) -> None:
    """`htpasswd` hashes an empty password too: that would be a login without one."""
    assert hashes.settle(asked(hashes, b"billing", b""), right=True) is None


def test_what_is_remembered_is_bounded(hashes: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not used for the longest time is asked about again."""
    monkeypatch.setattr(auth, "REMEMBERED", 2)
    for password in (b"one", b"two"):
        hashes.settle(asked(hashes, b"billing", password), right=True)
    assert isinstance(hashes.ask(Credentials(b"billing", b"one")), Identity)
    hashes.settle(asked(hashes, b"billing", b"three"), right=True)

    found = [isinstance(hashes.ask(Credentials(b"billing", password)), Identity) for password in (b"one", b"two", b"three")]
    assert found == [True, False, True]


def test_the_secret_of_a_login_is_known_to_the_log(hashes: Logins) -> None:
    """It is named whatever the password; an unknown login has none."""
    assert hashes.owner(Credentials(b"billing", b"wrong")) == "billing"
    assert hashes.owner(Credentials(b"nobody", b"wrong")) == ""
