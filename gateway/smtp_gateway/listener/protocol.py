"""What the listener speaks, as tables: extensions, limits, time-outs and replies; `docs/protocol.md` is printed from them.

The keywords are those of the greeting itself, the values those of the constants, and a test holds the replies to what the code can say:
each reply that has a name, and each of aiosmtpd's own. `python -m smtp_gateway.listener.protocol` prints the page.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from smtp_gateway import authentication
from smtp_gateway.config.model import Limits
from smtp_gateway.content.received import HOPS_LIMIT
from smtp_gateway.content.submission import HEADERS_TOO_LONG
from smtp_gateway.intake import ROOM, TOO_MANY_HOPS
from smtp_gateway.listener import lines, proxy, replies
from smtp_gateway.listener.body import LINE_LIMIT
from smtp_gateway.listener.ceilings import FULL, Ceiling
from smtp_gateway.listener.connection import PENDING
from smtp_gateway.listener.data import MEMORY
from smtp_gateway.listener.session import UNKNOWN_LIMIT
from smtp_gateway.listener.timeouts import PHASES
from smtp_gateway.mail import dsn, path, reply
from smtp_gateway.mail.reply import Reply
from smtp_gateway.policy import checks, relaying, senders

if TYPE_CHECKING:
    from collections.abc import Iterable

_BOTH = "MAIL, RCPT, DATA, BDAT"
_END = "end of data, last BDAT"
_BODY = "end of data, BDAT"


class Meant(NamedTuple):
    """A reply, and when it is given."""

    reply: Reply
    commands: str
    meaning: str


class Bound(NamedTuple):
    """A limit or a time-out."""

    what: str
    value: str
    meaning: str


EXTENSIONS = {
    "PIPELINING": "RFC 2920. Commands may follow each other without waiting, a message's end and the next MAIL included; replies come in order.",
    "ENHANCEDSTATUSCODES": "RFC 2034. Every reply 2yz, 4yz and 5yz has one, except the greeting and the replies to EHLO and HELO.",
    "CHUNKING": "RFC 3030. BDAT in place of DATA, in as many chunks as the client likes. BINARYMIME is not offered. A BDAT without a number ends the session.",
    "DSN": "RFC 3461. RET, ENVID, NOTIFY and ORCPT are checked, kept with the message and passed on to next hops that announce DSN. "
    "For the other next hops, and for mail that fails or is late, the gateway sends the notices itself: docs/bounces.md.",
    "LIMITS": "RFC 9422. RCPTMAX is `spec.limits.recipients`. There is no limit of messages in a session.",
    "SIZE": "RFC 1870. `spec.limits.messageSize`. A message that is announced larger is refused at MAIL, one that is larger at its end.",
    "8BITMIME": "RFC 6152. Content is relayed as it came, also to next hops that do not announce it: re-encoding would break signatures.",
    "SMTPUTF8": "RFC 6531. Addresses beyond ASCII; a next hop that does not announce it does not get such a message, which is then returned.",
    "STARTTLS": "RFC 3207. Announced where the session is in the clear and the listener has TLS. What was said before is forgotten, and what was sent with it dropped.",
    "REQUIRETLS": "RFC 8689. Announced under TLS alone. Such a message goes to next hops with a valid certificate that announce it too, and is returned if there are none. See docs/tls.md.",
    "AUTH": "RFC 4954. Announced under TLS alone: PLAIN and LOGIN, and EXTERNAL to clients that showed a certificate which was verified.",
    "HELP": "RFC 5321 section 4.1.1.8.",
}
"""What each keyword of the greeting means."""

LIMITS = (
    Bound("content of a message", f"{Limits().message_size} octets unless configured", "As it would be without dot stuffing (RFC 1870)."),
    Bound("recipients of a transaction", f"{Limits().recipients} unless configured", "Those beyond are told to come in another one."),
    Bound(
        "connections of a pod", f"{Limits().connections} unless configured", "Those beyond are told `421 4.3.2` in place of the greeting."
    ),
    Bound(
        "connections of a client",
        "50 unless configured",
        "From one IPv4 address or /64 of IPv6, where clients can be told apart. See docs/connections.md.",
    ),
    Bound("command line", f"{lines.COMMAND_LIMIT} octets", "RFC 5321 asks for 512; parameters need more."),
    Bound("line of an AUTH exchange", f"{lines.AUTH_LIMIT} octets", "RFC 4954 section 4."),
    Bound("line of a body", f"{LINE_LIMIT} octets", "RFC 5321 asks for 998 and programs write more. See below."),
    Bound("address", f"{path.ADDRESS_LIMIT} octets", f"Its domain {path.DOMAIN_LIMIT}, a label of that {path.LABEL_LIMIT}."),
    Bound("ENVID, ORCPT", f"{dsn.ENVID_LIMIT} and {dsn.ORCPT_LIMIT} octets", "As they are sent, in xtext of printable ASCII."),
    Bound(
        "PROXY header",
        f"{proxy.TEXT_LIMIT} octets of version 1, {proxy.LIMIT} of version 2",
        "The standard's own bound, and nginx's. TLVs are skipped.",
    ),
    Bound("malformed lines", f"{lines.FAULTS_LIMIT}", "The session ends at the last of them."),
    Bound("unknown commands", f"{UNKNOWN_LIMIT}", "The session ends at the last of them."),
    Bound("trace headers", f"{HOPS_LIMIT}", "A message with more goes in circles (RFC 5321 section 6.3)."),
    Bound(
        "memory of a connection",
        f"{MEMORY} octets",
        "Whatever is sent. Larger bodies go to the disk while they arrive, and their client waits for it.",
    ),
    Bound("octets behind a message", f"{PENDING} and one read", "Pipelined while it is made durable; the client is read from again then."),
    Bound("bodies held by all sessions", f"{ROOM} octets, or four messages of the largest size", "More is refused for now."),
)
TIMEOUTS = tuple((phase.name, f"{phase.seconds:g} s", phase.standard, phase.reason, phase.told) for phase in PHASES)


def _ours(text: str) -> Reply:
    """Return a reply of aiosmtpd as the session says it: with the enhanced code that belongs to its code."""
    code, enhanced, words = replies.with_enhanced_code(text).split(" ", 2)
    return Reply(int(code), enhanced, words)


REPLIES = (
    Meant(Reply(220, "", "<hostname> ESMTP"), "connection", "The greeting."),
    Meant(Reply(250, "", "<hostname>"), "EHLO, HELO", "The extensions follow, a line each, to EHLO."),
    Meant(replies.OK, "RSET, NOOP", "Done."),
    Meant(replies.SENDER_OK, "MAIL", "The transaction has begun."),
    Meant(replies.RECIPIENT_OK, "RCPT", "The recipient is taken."),
    Meant(Reply(250, "2.0.0", "<n> octets received"), "BDAT", "The chunk is taken, and others follow."),
    Meant(reply.queued("<id>"), _END, "The message is on the disk: neither a crash nor a power cut loses it. The identifier is in every log line about it."),
    Meant(replies.BYE, "QUIT", "The session ends."),
    Meant(replies.READY_FOR_TLS, "STARTTLS", "The handshake may begin."),
    Meant(replies.CANNOT_VERIFY, "VRFY", "Nothing is told about who exists."),
    Meant(replies.HELP, "HELP", "The commands."),
    Meant(reply.AUTHENTICATION_SUCCEEDED, "AUTH", "The client is known from here on."),
    Meant(Reply(334, "", "<challenge>"), "AUTH", "The next line of the exchange is awaited."),
    Meant(Reply(354, "", "End data with <CR><LF>.<CR><LF>"), "DATA", "The body may come."),
    Meant(reply.SHUTTING_DOWN, "any", "The pod stops, or takes no new mail. Connect again: another pod answers."),
    Meant(replies.TIMED_OUT, "any", "Nothing was heard for too long."),
    Meant(FULL[Ceiling.ALL], "connection", "The pod has as many connections as it may have."),
    Meant(FULL[Ceiling.CLIENT], "connection", "The client's network has."),
    Meant(replies.PROXY_HEADER_REFUSED, "PROXY", "The client is no proxy that is trusted to say who others are. The session ends."),
    Meant(lines.TOO_MANY_FAULTS, "any", "Too many malformed lines: whoever sends them does not speak SMTP."),
    Meant(authentication.TOO_MANY_FAILURES, "AUTH", "The session ends, after five failures."),
    Meant(reply.TRY_AGAIN_LATER, "any, end of data", "Something of the gateway's own failed; its log says what. The client keeps its message."),
    Meant(reply.SPOOL_FULL, f"MAIL, {_BODY}", "There is no room on the volume, or in memory at this moment."),
    Meant(reply.TOO_MANY_RECIPIENTS, "RCPT", "The others go in a transaction of their own."),
    Meant(authentication.BANNED, "AUTH", "Too many different wrong logins came from the client's network (docs/logins.md)."),
    Meant(authentication.OVERLOADED, "AUTH", "Too many hashed passwords are being compared."),
    Meant(lines.BARE_LF, "any", "The line ends with LF alone."),
    Meant(lines.CONTROL_CHARACTER, "any", "NUL, CR and their like may stand in no command."),
    Meant(lines.LINE_TOO_LONG, "any", "The line was read to its end and forgotten."),
    Meant(_ours("500 Command line too long"), "any", "Longer than a command may be."),
    Meant(_ours("500 Error: bad syntax"), "any", "The line is empty, or no command begins it."),
    Meant(_ours('500 Error: command "<verb>" not recognized'), "any", "There is no such command."),
    Meant(_ours("500 Error: command 'AUTH' not recognized"), "AUTH", "The client said HELO."),
    Meant(replies.AUTH_LINE_TOO_LONG, "AUTH", "A line of the exchange is too long."),
    Meant(replies.UNEXPECTED_ARGUMENT, "DATA, STARTTLS", "The command stands alone."),
    Meant(replies.NO_CHUNK, "BDAT", "Nobody knows where the chunk ends, so the session ends."),
    Meant(dsn.INVALID_RET, "MAIL", "RFC 3461 section 4.3."),
    Meant(dsn.INVALID_ENVID, "MAIL", "RFC 3461 section 4.4."),
    Meant(dsn.INVALID_NOTIFY, "RCPT", "RFC 3461 section 4.1."),
    Meant(dsn.INVALID_ORCPT, "RCPT", "RFC 3461 section 4.2."),
    Meant(_ours("501 Syntax: <form>"), "any", "An argument is missing, is not wanted, or is malformed."),
    Meant(_ours("501 Error: BODY can only be one of 7BIT, 8BITMIME"), "MAIL", "BINARYMIME is not offered."),
    Meant(_ours("501 Error: SMTPUTF8 takes no arguments"), "MAIL", "RFC 6531 section 3.4."),
    Meant(_ours("501 Not enough value"), "AUTH", "The mechanism is missing."),
    Meant(_ours("501 Too many values"), "AUTH", "An initial response is one word."),
    Meant(replies.AUTH_CANCELLED, "AUTH", "The client sent `*`."),
    Meant(Reply(501, "5.7.0", "Auth aborted"), "AUTH", "The client sent `*` in place of an initial response."),
    Meant(replies.AUTH_NOT_BASE64, "AUTH", "RFC 4954 section 4."),
    Meant(replies.AUTH_MALFORMED, "AUTH PLAIN", "The response is not what RFC 4616 says."),
    Meant(_ours("502 EXPN not implemented"), "EXPN", "Nothing is told about lists."),
    Meant(replies.TLS_NOT_OFFERED, "STARTTLS", "The listener has `tls: None`."),
    Meant(Reply(502, "5.5.1", "Too many unrecognized commands, goodbye."), "any", "The session ends."),
    Meant(_ours("503 Error: send HELO first"), "MAIL, RCPT, DATA, BDAT, AUTH", "EHLO or HELO comes first."),
    Meant(_ours("503 Error: send EHLO first"), "AUTH", "EHLO comes first."),
    Meant(_ours("503 Error: nested MAIL command"), "MAIL", "One transaction at a time."),
    Meant(_ours("503 Error: need MAIL command"), "RCPT", "MAIL comes first."),
    Meant(replies.HELLO_FIRST, "BDAT", "As before other commands."),
    Meant(replies.RECIPIENTS_FIRST, "DATA, BDAT", "No recipient was taken. A chunk is swallowed whole."),
    Meant(replies.IN_CHUNKS, "RCPT, DATA", "A message that has begun to come by BDAT goes on by BDAT."),
    Meant(replies.TLS_ALREADY, "STARTTLS", "Once is enough."),
    Meant(_ours("503 Already authenticated"), "AUTH", "Once is enough."),
    Meant(replies.IN_TRANSACTION, "AUTH", "RFC 4954 section 4. RSET comes first."),
    Meant(Reply(504, "5.5.4", "Unrecognized authentication type"), "AUTH", "The mechanisms are in the reply to EHLO."),
    Meant(reply.TLS_REQUIRED, _BOTH, "Nothing of worth is done in the clear."),
    Meant(reply.AUTHENTICATION_REQUIRED, _BOTH, "The listener wants a login."),
    Meant(reply.AUTHENTICATION_FAILED, "AUTH", "It is not said whether it was the login or the password."),
    Meant(reply.ENCRYPTION_REQUIRED_FOR_AUTH, "AUTH", "Passwords do not go in the clear."),
    Meant(reply.BARE_LINE_ENDING, _BODY, "A CR or LF stands alone in the body: a server further on could take it for an end (SMTP smuggling)."),
    Meant(reply.MESSAGE_TOO_LARGE, _BODY, "Swallowed to its end and refused."),
    Meant(senders.SENDER_NOT_ALLOWED, "MAIL", "The login's Secret has `allowedSenders`, and this is none of them."),
    Meant(senders.AUTHOR_NOT_ALLOWED, _END, "The same, of an address in From or Sender."),
    Meant(senders.AUTHOR_UNCLEAR, _END, "The same, and From is missing, there twice, or not in the grammar of RFC 5322."),
    Meant(relaying.CLIENT_NOT_ALLOWED, "MAIL", "The listener has `auth: None`, and the client is in none of its networks."),
    Meant(relaying.RECIPIENT_NOT_ALLOWED, "RCPT", "The same, and the recipient is in none of the listener's domains."),
    Meant(_ours("552 Error: message size exceeds fixed maximum message size"), "MAIL", "SIZE says that it would be too large."),
    Meant(reply.BAD_ADDRESS, "MAIL, RCPT", "The address is null where it may not be, or has no domain."),
    Meant(Reply(553, "5.1.3", "Error: malformed address"), "MAIL, RCPT", "What stands there is no path (RFC 5321 section 4.1.2)."),
    Meant(checks.NOT_INTERNATIONAL, "MAIL, RCPT", "MAIL did not declare SMTPUTF8."),
    Meant(TOO_MANY_HOPS, _BODY, "The message was here before."),
    Meant(HEADERS_TOO_LONG, _BODY, "The fields before the text have more than 256 KiB: they are looked at before the rest goes to the disk."),
    Meant(reply.LINE_TOO_LONG, _BODY, "See the limits."),
    Meant(_ours("555 MAIL FROM parameters not recognized or not implemented"), "MAIL", "RFC 5321 section 4.1.1.11."),
    Meant(_ours("555 RCPT TO parameters not recognized or not implemented"), "RCPT", "RFC 5321 section 4.1.1.11."),
)  # fmt: skip
"""Every reply of the listener."""


def keywords() -> list[str]:
    """Return the keywords that are announced, before TLS or under it, in their order."""
    offers = [replies.Offers(1, 1, encrypted=encrypted) for encrypted in (False, True)]
    greetings = [replies.extended_greeting("-", each).decode().split("\r\n")[1:-1] for each in offers]
    return list(dict.fromkeys(line[4:].split()[0] for greeting in greetings for line in greeting))


def documentation() -> str:
    """Return the page."""
    extensions = ((f"`{keyword}`", EXTENSIONS[keyword]) for keyword in keywords())
    in_order = sorted(REPLIES, key=lambda meant: (meant.reply.code, meant.reply.enhanced))
    spoken = ((meant.reply.code, meant.reply.enhanced or "-", f"`{meant.reply.text}`", meant.commands, meant.meaning) for meant in in_order)
    tables = (
        ("Extensions", ("keyword", "what it means here"), extensions),
        ("Limits", ("of what", "limit", "why"), LIMITS),
        ("Time-outs", ("for what", "time-out", "the standard", "why so long", "told"), TIMEOUTS),
        ("Replies", ("code", "enhanced", "text", "to", "meaning"), spoken),
    )
    parts = [_INTRODUCTION, *(_table(title, head, rows) for title, head, rows in tables)]
    parts.insert(3, _LONG_LINES)
    return "\n".join(parts)


def _table(title: str, head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    names = list(head)
    table = [names, ["---"] * len(names), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join((f"## {title}", "", *(f"| {' | '.join(row)} |" for row in table), ""))


_INTRODUCTION = """\
# What the listeners speak

SMTP as in RFC 5321, for submission as in RFC 6409. Produced from the gateway's own tables by `make docs`; a test compares them with what it says.

- A line ends with CRLF; a body ends with CRLF, a dot and CRLF, and with nothing else. What is between is kept octet for octet, with a `Received` header before it.
- Commands wait for TLS and a login in this order: `503` before EHLO, `530` before STARTTLS, `530` before AUTH.
- Codes and enhanced codes are stable; texts are for people. `4yz` means that the same may succeed later, and leaves the message with its client.
"""
_LONG_LINES = """\
Long lines of a body are not folded, neither on the way in nor on the way out: that would change the message and break its signatures (DKIM). A next hop gets them as they came. One that takes no more than 998 octets refuses the message in its own words, which its sender gets in the notice; no other mail is held up by that.
"""


if __name__ == "__main__":
    sys.stdout.write(documentation())
