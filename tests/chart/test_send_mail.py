"""What `helm test` runs, against a server that does what it is told: the mail arrives, or one sentence says why not."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from tests.chart.readme import CHART
from tests.pipeline.test_delivery_tls import server_context
from tests.support.authenticating import AuthenticatingSink
from tests.support.gateway import authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOGIN = {"LOGIN": "my-app", "SECRET": "app-logins", "PASSWORD": "right"}


@pytest.fixture
async def server() -> AsyncIterator[AuthenticatingSink]:
    """A server that knows one login."""
    async with AuthenticatingSink("my-app", "right", tls=server_context(authority=authority())) as server:
        yield server


class Asker:
    """Runs the program as the chart's pod does."""

    def __init__(self, folder: Path, port: int) -> None:
        """Ask the server at *port* of loopback, whose authority is written into *folder*."""
        authority().cert_pem.write_to_path(folder / "ca.crt")
        self.asked = {"HOST": "localhost", "PORT": str(port), "TLS": "StartTLS", "AUTHORITY": str(folder / "ca.crt")}
        self.asked |= {"SENDER": "app@example.com", "RECIPIENT": "one@example.net", "SUBJECT": "helm test of smtp"}

    async def __call__(self, **changed: str) -> tuple[int, str, str]:
        """Return the status, and what was said on standard output and standard error."""
        program = (CHART / "files/send_mail.py").read_text()
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, env=self.asked | LOGIN | changed, stdout=pipe, stderr=pipe
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
def send(tmp_path: Path, server: AuthenticatingSink) -> Asker:
    """What sends to the server."""
    return Asker(tmp_path, server.port)


async def test_a_mail_is_sent_and_the_answer_told(send: Asker, server: AuthenticatingSink) -> None:
    """The server gets one mail under TLS; the last reply is the line that is printed."""
    place = f"localhost:{server.port}"

    assert await send() == (0, f"{place} took a mail from app@example.com to one@example.net: 250 2.0.0 Taken\n", "")
    (taken,) = server.taken
    assert (taken.sender, taken.recipients, taken.tls) == ("app@example.com", ("one@example.net",), True)
    assert b"Subject: helm test of smtp\r\n" in taken.content


@pytest.mark.parametrize("implicit", [False, True])
async def test_tls_is_begun_as_the_listener_wants_it(tmp_path: Path, *, implicit: bool) -> None:
    """A listener with implicit TLS, and one without TLS and login, take the mail too."""
    context = server_context(authority=authority()) if implicit else None
    async with AuthenticatingSink("my-app", "right", tls=context, implicit=implicit) as server:
        if not implicit:
            server.answer("MAIL", "250 2.1.0 Ok")
        how = {"TLS": "Implicit"} if implicit else {"TLS": "None", "LOGIN": ""}

        assert (await Asker(tmp_path, server.port)(**how))[0] == 0
        assert [taken.tls for taken in server.taken] == [implicit]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"PASSWORD": "wrong"}, "localhost:PORT refuses the login my-app: 535 5.7.8 Username and password not accepted"),
        ({"PASSWORD": ""}, "The Secret app-logins is not there, or has no password for the login my-app."),
        ({"LOGIN": ""}, "localhost:PORT refuses the mail: 530 5.7.0 Authentication required"),
        ({"RECIPIENT": "nobody@example.net"}, "localhost:PORT refuses the mail: 550 5.1.1 Nobody here"),
        ({"TLS": "None"}, "No mail can be sent to localhost:PORT: SMTP AUTH extension not supported by server."),
        ({"PORT": "1"}, "No mail can be sent to localhost:1: [Errno 111] Connection refused"),
    ],
)
async def test_why_there_is_no_mail_is_one_sentence(
    send: Asker, server: AuthenticatingSink, changed: dict[str, str], sentence: str
) -> None:
    """The status is 1, and the one line on standard error says what to look at."""
    server.answer("RCPT", "550 5.1.1 Nobody here", matching="nobody")

    assert await send(**changed) == (1, "", sentence.replace("PORT", str(server.port)) + "\n")


async def test_a_certificate_of_a_strangers_is_told(send: Asker, server: AuthenticatingSink) -> None:
    """Without the gateway's authority its certificate is not trusted, and the password is not sent."""
    status, _, said = await send(AUTHORITY="/nowhere")

    assert status == 1
    assert said.startswith(f"The certificate of localhost:{server.port} is not to be trusted: unable to get local issuer certificate")
    assert not [command for command in server.commands if command.startswith("AUTH")]
