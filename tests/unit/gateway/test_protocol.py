"""The tables of the protocol hold all that the code can say, and each reply is one that RFC 2034 allows."""

from __future__ import annotations

import inspect
import pkgutil
import re
from importlib import import_module

import pytest
from aiosmtpd.smtp import SMTP

import smtp_gateway.listener
import smtp_gateway.mail
import smtp_gateway.policy
from smtp_gateway import intake
from smtp_gateway.listener import protocol, replies
from smtp_gateway.listener.connection import VERBS
from smtp_gateway.listener.session import Session
from smtp_gateway.mail.reply import Reply

PACKAGES = (smtp_gateway.listener, smtp_gateway.mail, smtp_gateway.policy)
MODULES = [import_module(f"{package.__name__}.{one.name}") for package in PACKAGES for one in pkgutil.iter_modules(package.__path__)]
NAMED = {
    f"{module.__name__}.{name}": value for module in (intake, *MODULES) for name, value in vars(module).items() if isinstance(value, Reply)
}
"""Every reply that has a name where the listener could say it."""
DOCUMENTED = {meant.reply for meant in protocol.REPLIES}
CODES = {(reply.code, reply.enhanced) for reply in DOCUMENTED}
_SAID = re.compile(r"""f?["'](?P<code>[45]\d\d) (?P<text>[^"']+)""")


@pytest.mark.parametrize("name", NAMED)
def test_every_reply_with_a_name_is_documented(name: str) -> None:
    """With its text: add a row to `smtp_gateway.listener.protocol.REPLIES` for a new one."""
    assert NAMED[name] in DOCUMENTED


@pytest.mark.parametrize("reply", DOCUMENTED, ids=str)
def test_every_reply_has_an_enhanced_code_of_its_class(reply: Reply) -> None:
    """Except 3yz, the greeting, and what answers EHLO and HELO (RFC 2034 section 4)."""
    if reply.code // 100 == 3 or "<hostname>" in reply.text:
        assert reply.enhanced == ""
    else:
        assert re.fullmatch(rf"{reply.code // 100}\.[0-7]\.\d{{1,2}}", reply.enhanced)


OVERRIDDEN = ("smtp_DATA", "smtp_STARTTLS", "smtp_QUIT", "smtp_VRFY", "smtp_HELP")
"""aiosmtpd's methods whose refusals are not said, because ours do not call them."""


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_whatever_is_refused_in_the_words_of_aiosmtpd_gets_a_code_that_is_documented(verb: str) -> None:
    """Each refusal in the source of the methods that answer a command, and of those that they call; 2yz come from our hooks."""
    methods = (f"smtp_{verb}", "check_helo_needed", "auth_PLAIN", "auth_LOGIN", "_obey", "_not_known")
    found = [(each, name) for name in methods for each in Session.__mro__ if name in vars(each)]
    said = [vars(each)[name] for each, name in found if not (each is SMTP and name in OVERRIDDEN)]
    for refusal in _SAID.finditer("".join(map(inspect.getsource, said))):
        code, enhanced = replies.with_enhanced_code(f"{refusal['code']} {refusal['text']}").split(" ")[:2]
        assert (int(code), enhanced) in CODES, refusal[0]


def test_every_keyword_of_the_greeting_is_explained() -> None:
    """And none that is not announced."""
    assert set(protocol.keywords()) == protocol.EXTENSIONS.keys()


def test_the_page_has_a_row_for_each_reply() -> None:
    """In the order of their codes."""
    rows = [line for line in protocol.documentation().split("\n") if re.match(r"\| \d{3} \|", line)]

    assert len(rows) == len(protocol.REPLIES)
    assert rows == sorted(rows, key=lambda row: row.split(" | ")[:2])
