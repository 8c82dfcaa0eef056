"""A whole gateway whose smarthost wants credentials: wrong ones, corrected ones, and ones that change under load."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from smtp_gateway.config.model import Config, PasswordCredentials, Route, Smarthost
from smtp_gateway.config.pace import Retry
from smtp_gateway.delivery.trust import Trust
from smtp_gateway.dispatch import Surroundings
from tests.pipeline.test_delivery_auth import SAID
from tests.pipeline.test_gateway import measured, page
from tests.support.authenticating import PASSWORD, REFUSED, USERNAME, AuthenticatingSink
from tests.support.conversation import Conversation
from tests.support.gateway import authority, config, reception, running, trusting
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WRONG = "Wrong-Donkey-0815"
MAILS, CHANGES = 200, 8


def relaying(port: int, password: str, retry: float, username: str = USERNAME) -> Config:
    """Return a configuration whose only smarthost is told *password*, and whose mail is tried again every *retry* seconds."""
    credentials = PasswordCredentials(identity="provider", username=SecretStr(username), password=SecretStr(password))
    smarthost = Smarthost(host="localhost", port=port, credentials=credentials)
    curve = Retry(initial=retry, maximum=retry, factor=1.0, jitter=0.0)
    return config().model_copy(update={"routes": (Route(name="default", smarthosts=(smarthost,), retry=curve),)})


@pytest.fixture
async def provider() -> AsyncIterator[AuthenticatingSink]:
    """A provider that wants the right password, with a certificate that the gateway trusts."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert("localhost").configure_cert(context)
    async with AuthenticatingSink(USERNAME, PASSWORD, tls=context) as sink:
        yield sink


def surroundings() -> Surroundings:
    """Return a world in which the provider's certificate is valid."""
    return Surroundings(trust=Trust(trusting()))


async def test_waiting_mail_goes_as_soon_as_the_password_is_corrected(tmp_path: Path, provider: AuthenticatingSink) -> None:
    """Though it would wait for two hours; meanwhile the cause is known in the provider's words, and nobody guesses on."""
    wrong, right = (relaying(provider.port, password, 7200.0) for password in (WRONG, PASSWORD))
    with capture_logs() as logs:
        async with running(tmp_path, wrong, surroundings()) as gateway, Conversation.with_server(gateway.ports["submission"]) as client:
            await client.authenticated(trusting())
            await client.send(b"Subject: waiting\r\n\r\nx\r\n.\r\n")
            await measured(gateway, r"^smtp_gateway_deferred_recipients_total\{.*\} 1\.0$")
            await measured(gateway, r'^smtp_gateway_upstream_up\{credentials="provider",host="localhost",.*\} 0\.0$')
            assert provider.refused <= 2

            gateway.reconfigure(right)
            await eventually(lambda: provider.taken)
            await measured(gateway, r"^smtp_gateway_upstream_up\{.*\} 1\.0$")
            _, metrics = await page(gateway, "/metrics")

    (deferred,) = (line for line in logs if line["event"] == "deferred")
    (unreachable,) = (line for line in logs if line["event"] == "upstream unreachable")
    assert deferred["reply"] == unreachable["reply"] == REFUSED
    assert unreachable["cause"] == "AuthenticationRejected"
    shown = f"{logs} {metrics}"
    assert not [said for said in (*SAID, WRONG, USERNAME, *(one for one in provider.commands if "AUTH" in one)) if said in shown]


async def test_a_password_that_changes_under_load_loses_nothing(tmp_path: Path, provider: AuthenticatingSink) -> None:
    """The provider changes it first, and the gateway learns of it while mail is refused: all arrives, once."""
    provider.passwords = {"old-0"}
    expected = {f"Subject: mail {number:03}".encode() for number in range(MAILS)}
    async with (
        running(tmp_path, relaying(provider.port, "old-0", 0.2), surroundings()) as gateway,
        Conversation.with_server(gateway.ports["submission"]) as client,
    ):
        await client.authenticated(trusting())
        for number, subject in enumerate(sorted(expected)):
            await client.send(subject + b"\r\n\r\nx\r\n.\r\n")
            if number % (MAILS // CHANGES) == 0:
                password = f"old-{number}"
                provider.passwords = {password}
                refused = provider.refused
                gateway.reconfigure(relaying(provider.port, f"guess-{number}", 0.2))
                await eventually(lambda: provider.refused > refused)  # noqa: B023 awaited before the next turn
                gateway.reconfigure(relaying(provider.port, password, 0.2))
        await eventually(lambda: len(provider.taken) >= MAILS, within=30)

    assert sorted(line for taken in provider.taken for line in taken.content.split(b"\r\n") if line.startswith(b"Subject:")) == sorted(
        expected
    )
    assert all(taken.tls for taken in provider.taken)


async def test_a_gateway_is_the_smarthost_of_another(tmp_path: Path) -> None:
    """With a login of its own there: what the one says is what the other asks for, and a wrong password is refused in its words."""
    async with reception(tmp_path / "inner") as inner:
        for password, event in (("secret", "delivered"), ("guess", "deferred")):
            outer = relaying(inner.port, password, 7200.0, "app")
            with capture_logs() as logs:
                async with (
                    running(tmp_path / password, outer, surroundings()) as gateway,
                    Conversation.with_server(gateway.ports["submission"]) as client,
                ):
                    await client.authenticated(trusting())
                    await client.send(b"x\r\n.\r\n")
                    await eventually(lambda: any(line["event"] == event for line in logs))  # noqa: B023 awaited before the next turn
            (told,) = (line for line in logs if line["event"] == event)

            assert told["reply"].startswith(
                "250 2.0.0 Ok: queued as" if event == "delivered" else "535 5.7.8 Authentication credentials invalid"
            )
    assert [message.envelope.sender for message in inner.spool.messages] == ["a@example.com"]
