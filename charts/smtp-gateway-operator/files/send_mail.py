"""Send a mail through a gateway, for `helm test`: its one line says what the gateway answered, or why there is no mail.

Runs in the gateway's image, as the argument of `python3 -c`; everything it needs is in the environment. Standard library only.
"""

from __future__ import annotations

import os
import smtplib
import ssl
import sys
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT = 30
"""Seconds that any one reply may take."""
POSITIVE = range(200, 300)
"""Replies that mean success (RFC 5321 section 4.2.1)."""


class NotSentError(Exception):
    """There is no mail; the message is the sentence that says why."""


def sent(asked: Mapping[str, str]) -> str:
    """Send the mail that *asked* describes; return what the gateway said. Raises `NotSentError`."""
    place = f"{asked['HOST']}:{asked['PORT']}"
    if asked.get("LOGIN") and not asked.get("PASSWORD"):
        message = f"The Secret {asked['SECRET']} is not there, or has no password for the login {asked['LOGIN']}."
        raise NotSentError(message)
    try:
        with opened(asked) as client:
            return f"{place} took a mail from {asked['SENDER']} to {asked['RECIPIENT']}: {submitted(client, asked)}"
    except smtplib.SMTPAuthenticationError as error:
        message = f"{place} refuses the login {asked['LOGIN']}: {reply(error.smtp_code, error.smtp_error)}"
    except smtplib.SMTPResponseException as error:
        message = f"{place} refuses the mail: {reply(error.smtp_code, error.smtp_error)}"
    except ssl.SSLCertVerificationError as error:
        message = f"The certificate of {place} is not to be trusted: {error.verify_message}"
    except (OSError, smtplib.SMTPException) as error:
        message = f"No mail can be sent to {place}: {error}"
    raise NotSentError(message)


def opened(asked: Mapping[str, str]) -> smtplib.SMTP:
    """Return a session that is ready for a mail."""
    context = ssl.create_default_context()
    authority = Path(asked["AUTHORITY"])
    if authority.exists():
        context.load_verify_locations(authority)
    host, port = asked["HOST"], int(asked["PORT"])
    if asked["TLS"] == "Implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=context)
    else:
        client = smtplib.SMTP(host, port, timeout=TIMEOUT)
    if asked["TLS"] == "StartTLS":
        client.starttls(context=context)
    if asked.get("LOGIN"):
        client.login(asked["LOGIN"], asked["PASSWORD"])
    return client


def submitted(client: smtplib.SMTP, asked: Mapping[str, str]) -> str:
    """Submit the mail; return the last reply. Raises `smtplib.SMTPResponseException` with one that refuses it."""
    client.ehlo_or_helo_if_needed()
    code, text = client.mail(asked["SENDER"])
    if code in POSITIVE:
        code, text = client.rcpt(asked["RECIPIENT"])
    if code in POSITIVE:
        code, text = client.data(written(asked).as_bytes(policy=SMTP))
    if code not in POSITIVE:
        raise smtplib.SMTPResponseException(code, text)
    return reply(code, text)


def written(asked: Mapping[str, str]) -> EmailMessage:
    """Return the mail."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = asked["SENDER"], asked["RECIPIENT"], asked["SUBJECT"]
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=asked["SENDER"].rpartition("@")[2])
    message.set_content(f"helm test sent this through {asked['HOST']}.\n")
    return message


def reply(code: int, text: bytes | str) -> str:
    """Return a reply as it was said, in one line."""
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(said.split())}"


if __name__ == "__main__":
    try:
        print(sent(os.environ))
    except NotSentError as error:
        sys.exit(str(error))
