"""Next hops that ask who sends although they were told: of an old session, of a fresh one, and at MAIL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtp_gateway.mail.outcome import Deferred, Delivered
from tests.pipeline.test_delivery_auth import Sender, hop

if TYPE_CHECKING:
    from tests.support.authenticating import AuthenticatingSink


async def test_a_session_that_has_forgotten_who_sends_is_replaced(demanding: AuthenticatingSink) -> None:
    """Where credentials count for an hour only, the message that comes after it goes all the same, and the session is not used again."""
    sender = Sender()
    assert isinstance(await sender.send(hop(demanding)), Delivered)
    demanding.answer("MAIL", "530 5.7.0 Authentication required", times=1)

    assert isinstance(await sender.send(hop(demanding)), Delivered)
    assert demanding.sessions == 2
    assert len(demanding.taken) == 2


async def test_a_fresh_session_that_is_not_let_in_is_no_reason_for_another(demanding: AuthenticatingSink) -> None:
    """What asks for credentials after it took them would do so for ever."""
    demanding.answer("MAIL", "530 5.7.0 Authentication required")
    sender = Sender()

    for sessions in (1, 2):
        outcome = await sender.send(hop(demanding))
        assert isinstance(outcome, Deferred)
        assert demanding.sessions == sessions


async def test_a_refusal_after_authentication_is_temporary_too(demanding: AuthenticatingSink) -> None:
    """A server that has let us in and asks again at MAIL speaks of us, not of the mail."""
    for code in ("530 5.7.0", "534 5.7.9", "535 5.7.8", "538 5.7.11"):
        demanding.answer("MAIL", f"{code} Who are you?", times=1)
        outcome = await Sender().send(hop(demanding))
        assert isinstance(outcome, Deferred)
        assert str(outcome.reply) == f"{code} Who are you?"
