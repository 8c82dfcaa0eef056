"""How mail programs talk that do not run here, as far as that is documented: each line, and the reply that it must get."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.conversation import encoded, plain

LOGIN, PASSWORD = encoded("app"), encoded("secret")
USERNAME_ASKED, PASSWORD_ASKED = "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What one program says under TLS."""

    program: str
    peculiar: str
    """What a server has to cope with."""
    source: str
    hello: str
    """What follows EHLO, before and after STARTTLS."""
    auth: tuple[tuple[str, str], ...]
    """Lines and the replies to them."""
    mail: str = "MAIL FROM:<app@example.com>"
    rcpt: str = "RCPT TO:<one@example.net>"


DIALOGUES = (
    Dialogue(
        *("Outlook (Windows)", "AUTH LOGIN; asks for the words `Username:` and `Password:` and no others"),
        "Microsoft's [MS-XLOGIN] section 3; stalwartlabs/stalwart#400, tested there with Outlook 2403",
        "DESKTOP-1A2B3C4",
        (("AUTH LOGIN", USERNAME_ASKED), (LOGIN, PASSWORD_ASKED), (PASSWORD, "235 2.7.0 *")),
        "MAIL FROM: <app@example.com>",
        "RCPT TO: <one@example.net>",
    ),
    Dialogue(
        *(".NET SmtpClient", "the mechanism in lower case, the login in the same line"),
        "[MS-XLOGIN] section 2; rnwood/smtp4dev#3",
        "DESKTOP-1A2B3C4",
        ((f"AUTH login {LOGIN}", PASSWORD_ASKED), (PASSWORD, "235 2.7.0 *")),
    ),
    Dialogue(
        *("Thunderbird", "its address as a literal, `IPV6:` in capitals; AUTH PLAIN in one line; BODY and SIZE with MAIL"),
        "mozilla/releases-comm-central, mailnews/compose/src/SmtpClient.sys.mjs",
        "[IPV6:2001:db8::17]",
        ((f"AUTH PLAIN {plain('app', 'secret')}", "235 2.7.0 *"),),
        "MAIL FROM:<app@example.com> BODY=8BITMIME SIZE=150",
    ),
    Dialogue(
        *("Thunderbird, after a refused AUTH PLAIN", "goes on with AUTH LOGIN in the same session"),
        "the same, `_onAuthFailed`",
        "[192.0.2.17]",
        (
            (f"AUTH PLAIN {plain('app', 'wrong')}", "535 5.7.8 *"),
            ("AUTH LOGIN", USERNAME_ASKED),
            (LOGIN, PASSWORD_ASKED),
            (PASSWORD, "235 2.7.0 *"),
        ),
        "MAIL FROM:<app@example.com> BODY=8BITMIME SIZE=150",
    ),
    Dialogue(
        *("Apple Mail", "names itself by an address, in some versions one that is none"),
        'stalwartlabs/stalwart#400, tested there with Apple Mail 16 and AUTH LOGIN; blog.firetree.net, "Using OSX Mail with Exim"',
        "[1N?IPv6:::1]",
        (("AUTH LOGIN", USERNAME_ASKED), (LOGIN, PASSWORD_ASKED), (PASSWORD, "235 2.7.0 *")),
    ),
)
