from __future__ import annotations

import asyncio
import inspect

import aiosmtpd
import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from smtp_gateway.listener.connection import VERBS, Connection
from smtp_gateway.listener.conversation import Conversation
from smtp_gateway.listener.data import DataPhase
from smtp_gateway.listener.session import Session


def test_the_version_is_the_one_that_was_read() -> None:
    """Another version may be as good, but its command loop has to be read first."""
    assert aiosmtpd.__version__ == "1.4.6"


@pytest.mark.parametrize(
    "name",
    [name for name in vars(Session) | vars(Conversation) | vars(DataPhase) | vars(Connection) if name.startswith(("smtp_", "auth_"))],
)
def test_every_command_that_is_overridden_exists(name: str) -> None:
    """A renamed method would be called by nobody."""
    assert callable(getattr(SMTP, name))


@pytest.mark.parametrize(
    "name",
    [
        "_create_envelope",
        "_create_session",
        "_set_rset_state",
        "_getaddr",
        "_getparams",
        "_reset_timeout",
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


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_no_command_uses_what_a_session_does_not_have(verb: str) -> None:
    """Streams, the task of aiosmtpd's loop and its timer are not made: methods that use them are overridden."""
    source = inspect.getsource(getattr(Session, f"smtp_{verb}"))

    assert not any(
        name in source for name in ("_reader", "_writer", "_handler_coroutine", "_timeout_handle", "_smtp_methods", "_original_transport")
    )


async def test_what_a_session_is_made_of_exists() -> None:
    """What aiosmtpd gives a session is copied to each; mechanisms are found by the same names, and called with the session."""
    made = vars(SMTP(object(), hostname="mail.example.com", loop=asyncio.get_running_loop()))

    assert {"_smtp_methods", "_auth_methods", "_handle_hooks", "_ehlo_hook_ver", "event_handler"} <= made.keys()
    assert made["_auth_methods"].keys() == Session._auth_methods.keys()  # noqa: SLF001 it is this name that is asked about
    assert "await auth_method.method(self, args)" in inspect.getsource(SMTP.smtp_AUTH)


def test_a_rejected_login_is_answered_by_aiosmtpd() -> None:
    """`handled=False` asks for the 535."""
    assert AuthResult(success=False, handled=False).message is None
