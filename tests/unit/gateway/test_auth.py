from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from smtp_gateway.config.model import Login
from smtp_gateway.policy.auth import Identity, Logins

if TYPE_CHECKING:
    from collections.abc import Callable

APP = Login(login="app", password=SecretStr("secret"), identity="app-logins")
UTF8 = Login(login="müller", password=SecretStr("paßwort"), identity="people")


@pytest.fixture
def logins() -> Logins:
    """Two logins of two Secrets."""
    return Logins([APP, UTF8])


def test_the_right_password_gives_the_identity(logins: Logins) -> None:
    """Logins and passwords are octets in UTF-8."""
    assert logins.verify(b"app", b"secret") == Identity("app", "app-logins")
    assert logins.verify("müller".encode(), "paßwort".encode()) == Identity("müller", "people")


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
    assert logins.verify(login, password) is None


def test_without_logins_nobody_gets_in() -> None:
    """Neither does the stand-in that unknown logins are compared with."""
    nobody = Logins([])

    assert nobody.verify(b"", b"") is None
    assert nobody.verify(b"app", b"secret") is None


def test_new_logins_replace_the_old(logins: Logins) -> None:
    """A removed login is refused and a changed password counts from then on."""
    logins.reconfigure([APP.model_copy(update={"password": SecretStr("new")})])

    assert logins.verify(b"app", b"new") == Identity("app", "app-logins")
    assert logins.verify(b"app", b"secret") is None
    assert logins.verify("müller".encode(), "paßwort".encode()) is None


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
    logins.verify(login, b"x")
    logins.verify(login, b"x" * 1000)

    assert seen == [(32, 32), (32, 32)]


def test_no_plain_password_is_kept(logins: Logins) -> None:
    """What the object holds does not contain a password."""
    assert "secret" not in repr(vars(logins))
