from __future__ import annotations

import email.message
import smtplib
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher

from smtp_gateway.config.model import Senders
from smtp_gateway.policy.senders import SENDER_NOT_ALLOWED
from tests.support.gateway import PATIENCE, Process, config, login, process, trusting, write_pair
from tests.support.waiting import eventually_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TLS = trusting()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Process]:
    """A gateway as a process of its own, under uvloop, whose next hop is away."""
    with process(tmp_path, config()) as started:
        yield started


def client(gateway: Process, password: str = "secret", name: str = "app") -> smtplib.SMTP:  # noqa: S107 the password of a test
    """Return the standard library's client, connected, encrypted and authenticated."""
    smtp = smtplib.SMTP("localhost", gateway.ports["submission"], local_hostname="client.example", timeout=PATIENCE)
    try:
        smtp.starttls(context=TLS)
        smtp.login(name, password)
    except smtplib.SMTPException:
        smtp.close()
        raise
    return smtp


def test_the_standard_client_delivers_a_message(gateway: Process) -> None:
    """STARTTLS, AUTH, addresses beyond ASCII and a body without a final newline, over a real process."""
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", "ü@example.net", "héllo"
    message.set_content("..dots\n.\nno newline at the end", cte="8bit")
    with client(gateway) as smtp:
        assert smtp.send_message(message) == {}
        assert smtp.sendmail("a@example.com", ["b@example.net", "c@example.net"], b"no header, no newline") == {}

    accepted = gateway.wait_for("accepted", times=2)
    assert (accepted["recipients"], accepted["identity"], accepted["listener"]) == (2, "app-logins", "submission")
    assert "secret" not in repr(gateway.logs)


def test_the_standard_client_over_implicit_tls(gateway: Process) -> None:
    """`SMTP_SSL` needs nothing but the port."""
    with smtplib.SMTP_SSL("localhost", gateway.ports["submissions"], context=TLS, timeout=PATIENCE) as smtp:
        smtp.login("app", "secret")
        assert smtp.sendmail("a@example.com", ["b@example.net"], b"x") == {}
    assert gateway.wait_for("accepted")["listener"] == "submissions"


def test_a_wrong_password_is_refused(gateway: Process) -> None:
    """The client sees 535, the log a line without the password."""
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        client(gateway, "wrong")

    assert refused.value.smtp_code == 535
    gateway.wait_for("authentication failed")
    assert "wrong" not in repr(gateway.logs)


def test_a_rotated_password_is_followed_without_dropping_a_session(gateway: Process) -> None:
    """The folder changes, the open session goes on, and the next one needs the new password."""
    with client(gateway) as connected:
        gateway.render(config(logins=(login(password="new"),)))
        gateway.wait_for("configuration loaded")
        assert connected.sendmail("a@example.com", ["b@example.net"], b"still here") == {}
    with client(gateway, "new") as again:
        assert again.noop()[0] == 250
    with pytest.raises(smtplib.SMTPAuthenticationError):
        client(gateway, "secret")


def test_hashed_logins_and_their_rules_are_followed(gateway: Process) -> None:
    """A login is added with its hash, may send as one address alone, and is gone again; each time for the next transaction or AUTH."""
    hashed = login("shop", PasswordHasher(2, 1024, 1).hash("paid"), "shop-logins")
    rule = Senders(identity="shop-logins", allowed=("shop@example.com",))
    gateway.render(config(logins=(login(), hashed)).model_copy(update={"senders": (rule,)}))
    gateway.wait_for("configuration loaded")
    with client(gateway, "paid", "shop") as connected:
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            connected.sendmail("a@example.com", ["b@example.net"], b"From: a@example.com\r\n\r\nx")
        assert (refused.value.smtp_code, refused.value.smtp_error) == (550, str(SENDER_NOT_ALLOWED)[4:].encode())
        assert connected.sendmail("shop@example.com", ["b@example.net"], b"From: shop@example.com\r\n\r\nx") == {}
        gateway.render(config())
        gateway.wait_for("configuration loaded", 2)
        assert connected.sendmail("a@example.com", ["b@example.net"], b"x") == {}
    with pytest.raises(smtplib.SMTPAuthenticationError):
        client(gateway, "paid", "shop")
    assert not any(word in repr(gateway.logs) for word in ("paid", "argon2id"))


def test_a_damaged_configuration_leaves_the_old_one_in_force(gateway: Process) -> None:
    """It is said once, and what came before goes on."""
    (gateway.folder / "config" / "config.sha256").write_text("0" * 64)
    assert gateway.wait_for("configuration not loaded")["level"] == "warning"
    with client(gateway) as connected:
        assert connected.sendmail("a@example.com", ["b@example.net"], b"x") == {}
    gateway.render(config(logins=(login(password="new"),)))
    gateway.wait_for("configuration loaded")

    assert len(gateway.events("configuration not loaded")) == 1


def test_a_renewed_certificate_is_used_by_the_next_handshake(gateway: Process) -> None:
    """The old session stays, the new one sees the new certificate; both listeners follow."""

    def serial(port: int) -> object:
        with (
            socket.create_connection(("localhost", port), PATIENCE) as plain,
            TLS.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            certificate = wrapped.getpeercert()
            assert certificate is not None
            return certificate["serialNumber"]

    before = serial(gateway.ports["submissions"])
    with client(gateway) as connected:
        write_pair(gateway.folder / "tls")
        eventually_sync(lambda: serial(gateway.ports["submissions"]) != before, PATIENCE, "the new certificate", pause=0.2)
        assert connected.noop()[0] == 250
    with client(gateway) as again:
        assert again.noop()[0] == 250


def test_sigterm_lets_an_open_transaction_end_and_exits_with_0(gateway: Process) -> None:
    """Ready turns to 503, the message is taken, the client hears 421, and the process ends by itself."""
    smtp = client(gateway)
    smtp.mail("a@example.com")
    gateway.signal()
    gateway.wait_for("draining")
    assert gateway.get("/readyz") == (503, "draining\n")
    assert gateway.get("/livez") == (200, "ok\n")
    smtp.rcpt("b@example.net")
    assert smtp.data(b"last")[0] == 250
    assert smtp.noop()[0] == 421
    smtp.close()

    assert gateway.wait() == 0
    steps = ["ready", "signal received", "draining", "sessions ended", "delivery stopped", "stopped"]
    assert [line["event"] for line in gateway.logs if line["event"] in steps] == steps
    assert gateway.events("sessions ended")[0]["cut"] == 0
    assert {line["level"] for line in gateway.logs if line["event"] != "upstream unreachable"} <= {"info"}


def test_a_session_that_does_not_end_does_not_hold_the_process(tmp_path: Path) -> None:
    """The drain is bounded by its grace."""
    with process(tmp_path, config(), grace=2.0) as gateway:
        smtp = client(gateway)
        smtp.mail("a@example.com")
        gateway.signal()
        assert gateway.wait() == 0
        smtp.close()
    assert gateway.events("sessions ended")[0]["cut"] == 1


def test_the_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    """For people who wait at a terminal."""
    with process(tmp_path, config(), grace=600.0) as gateway:
        smtp = client(gateway)
        smtp.mail("a@example.com")
        gateway.signal()
        gateway.wait_for("draining")
        gateway.signal()
        assert gateway.wait() == -15
        smtp.close()


MANIFEST = """
apiVersion: smtpgateway.io/v1alpha1
kind: SmtpGateway
metadata: {name: mail}
spec:
  hostname: mail.example.com
  listeners:
    - {name: submission, port: 587, tls: StartTLS}
  logins: [{secretRef: {name: app-logins}}]
  routes:
    - {name: default, smarthosts: [{host: 127.0.0.1, port: 9, tls: None}]}
---
apiVersion: v1
kind: Secret
metadata: {name: app-logins}
stringData: {app: secret}
"""


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `smtp-gateway` to its end."""
    line = [sys.executable, "-m", "smtp_gateway", *arguments]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_a_manifest_is_checked_in_sentences(tmp_path: Path) -> None:
    """Exit 0 and the listeners when it is good, exit 1 and what is wrong when it is not."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(MANIFEST)
    bad.write_text(MANIFEST.replace("port: 587", "port: 99999"))

    said = command("check", "good.yaml", cwd=tmp_path)
    assert (said.returncode, said.stdout) == (0, "good.yaml: valid; listeners: submission on port 587\n")
    said = command("check", "bad.yaml", cwd=tmp_path)
    assert said.returncode == 1
    assert "port" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_port_that_is_taken_ends_in_one_sentence_with_a_way_out(tmp_path: Path) -> None:
    """Exit 2; the sentence names the option."""
    (tmp_path / "mail.yaml").write_text(MANIFEST)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ("--host", "127.0.0.1", "--http-host", "127.0.0.1", "--http-port", "0", "--port", f"submission={port}")
        said = command("run", "mail.yaml", *options, cwd=tmp_path)

    assert said.returncode == 2
    sentence = said.stderr.splitlines()[-1]
    assert f"listener submission cannot use port {port}" in sentence
    assert "--port submission=" in sentence
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("run", "absent.yaml"), 1, "absent.yaml cannot be read"),
        (("run", "--config", "absent"), 1, "the configuration folder cannot be read"),
        (("run", "mail.yaml", "--port", "other=1"), 2, "--port names no listener of this gateway: other"),
        (("run", "mail.yaml", "--tls", "absent"), 1, "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    """Without a trace of calls."""
    (tmp_path / "mail.yaml").write_text(MANIFEST)
    said = command(*arguments, cwd=tmp_path)

    assert said.returncode == code
    assert sentence in said.stderr
    assert "Traceback" not in said.stderr


def test_a_gateway_runs_from_a_manifest_alone(tmp_path: Path) -> None:
    """Without a certificate it makes its own and says so; the spool is beside the caller."""
    (tmp_path / "mail.yaml").write_text(MANIFEST)
    arguments = ("run", "mail.yaml", "--host", "127.0.0.1", "--http-host", "127.0.0.1", "--http-port", "0", "--port", "submission=0")
    with Process.of(arguments, tmp_path) as gateway:
        gateway.wait_for("ready")
        encrypting = trusting()
        encrypting.check_hostname, encrypting.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP("localhost", gateway.ports["submission"], timeout=PATIENCE) as smtp:
            smtp.starttls(context=encrypting)
            smtp.login("app", "secret")
            assert smtp.sendmail("a@example.com", ["b@example.net"], b"x") == {}
        gateway.signal()
        assert gateway.wait() == 0

    assert (tmp_path / "spool").is_dir()
    assert "only vouches for itself" in gateway.errors
