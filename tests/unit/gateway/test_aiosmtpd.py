from __future__ import annotations

import asyncio
import inspect

import aiosmtpd
import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from smtp_gateway.listener.connection import Connection
from smtp_gateway.listener.session import Session


def test_the_version_is_the_one_that_was_read() -> None:
    """Another version may be as good, but its command loop has to be read first."""
    assert aiosmtpd.__version__ == "1.4.6"


@pytest.mark.parametrize("name", [name for name in vars(Session) | vars(Connection) if name.startswith(("smtp_", "auth_"))])
def test_every_command_that_is_overridden_exists(name: str) -> None:
    """A renamed method would be called by nobody."""
    assert callable(getattr(SMTP, name))


@pytest.mark.parametrize(
    "name",
    [
        "_authenticate",
        "_cb_client_connected",
        "_create_session",
        "_getaddr",
        "_getparams",
        "_handle_client",
        "_reset_timeout",
        "_set_post_data_state",
        "_set_rset_state",
        "_timeout_cb",
        "challenge_auth",
        "check_auth_needed",
        "check_helo_needed",
        "handle_exception",
        "push",
    ],
)
def test_the_private_names_in_use_exist(name: str) -> None:
    """They are what `listener.session` says it relies on."""
    assert callable(getattr(SMTP, name))


def test_the_loop_reads_by_readuntil_and_by_nothing_that_commands_lack() -> None:
    """The reader that stands in for aiosmtpd's stream offers `readuntil`; `read` is only reached through an error it never raises."""
    source = inspect.getsource(SMTP._handle_client)  # noqa: SLF001 it is this method that is asked about

    assert source.count("self._reader.readuntil()") == 2
    assert source.count("self._reader.") == source.count("self._reader.readuntil()") + source.count("self._reader.read(")


async def test_the_private_names_of_asyncio_exist() -> None:
    """A stream's buffer and transport are replaced at STARTTLS."""
    reader = asyncio.StreamReader()

    assert isinstance(reader._buffer, bytearray)  # type: ignore[attr-defined]  # noqa: SLF001 it is this name that is asked about
    assert hasattr(reader, "_transport")
    assert "_transport" in inspect.getsource(asyncio.StreamWriter.__init__)


async def test_what_a_session_is_made_of_exists() -> None:
    """A session is copied from the first one of its listener: methods by these two tables, the timer, and asyncio's own part."""
    made = vars(SMTP(object(), hostname="mail.example.com", loop=asyncio.get_running_loop()))

    assert all(callable(method) for method in made["_smtp_methods"].values())
    assert all(callable(one.method) for one in made["_auth_methods"].values())
    assert made["_timeout_handle"] is None
    assert {"_strong_reader", "_client_connected_cb", "_closed"} <= made.keys()


def test_a_rejected_login_is_answered_by_aiosmtpd() -> None:
    """`handled=False` asks for the 535."""
    assert AuthResult(success=False, handled=False).message is None
