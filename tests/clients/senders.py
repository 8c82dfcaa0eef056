"""Clients: command-line programs, and the libraries of five languages."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from typing import TYPE_CHECKING

import aiosmtplib

from tests.clients.jobs import HOST, PATIENCE, Outcome, as_json, run
from tests.clients.tools import PROGRAMS, Tools

if TYPE_CHECKING:
    from tests.clients.jobs import Job


def swaks(job: Job) -> Outcome:
    """Send by swaks, the testers' tool; it shows the whole dialogue."""
    secured = "--tls-on-connect" if job.implicit else "--tls"
    command = [
        *("swaks", "--server", HOST, "--port", str(job.port), secured, "--tls-verify", "--tls-ca-path", str(job.authority)),
        *("--auth", "PLAIN", "--auth-user", job.login, "--auth-password", job.password, "--suppress-data", "--helo", "client.example"),
        *("--from", job.letter.sender, "--to", ",".join(job.letter.recipients), "--data", f"@{job.message}"),
    ]
    return run(command)


def msmtp(job: Job) -> Outcome:
    """Send by msmtp, the `sendmail` of many containers."""
    command = [
        *("msmtp", "--file=/dev/null", f"--host={HOST}", f"--port={job.port}", f"--from={job.letter.sender}", "--auth=plain"),
        *(f"--user={job.login}", f"--passwordeval=echo {job.password}", "--tls=on", f"--tls-starttls={'off' if job.implicit else 'on'}"),
        *(f"--tls-trust-file={job.authority}", "--", *job.letter.recipients),
    ]
    return run(command, job.letter.whole.replace(b"\r\n", b"\n"))


def curl(job: Job) -> Outcome:
    """Send by curl."""
    scheme = "smtps" if job.implicit else "smtp"
    command = [
        *("curl", "--silent", "--verbose", "--url", f"{scheme}://{HOST}:{job.port}/client.example", "--ssl-reqd"),
        *("--cacert", str(job.authority), "--user", f"{job.login}:{job.password}", "--upload-file", str(job.message)),
        *("--mail-from", job.letter.sender, *(part for one in job.letter.recipients for part in ("--mail-rcpt", one))),
    ]
    return run(command)


def python_smtplib(job: Job) -> Outcome:
    """Send by the standard library's smtplib."""
    context = ssl.create_default_context(cafile=str(job.authority))
    client = smtplib.SMTP_SSL(HOST, job.port, context=context, timeout=PATIENCE) if job.implicit else smtplib.SMTP(HOST, job.port)
    with client:
        if not job.implicit:
            client.starttls(context=context)
        options = ["SMTPUTF8", "BODY=8BITMIME"] if job.letter.international else []
        try:
            client.login(job.login, job.password)
            refused = client.sendmail(job.letter.sender, job.letter.recipients, job.letter.whole, options)
        except smtplib.SMTPResponseException as error:
            return Outcome(sent=False, said=_words(error.smtp_code, error.smtp_error))
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
    return Outcome(not refused, "\n".join(_words(*each) for each in refused.values()))


def _words(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode() if isinstance(text, bytes) else text}"


def python_aiosmtplib(job: Job) -> Outcome:
    """Send by aiosmtplib."""
    return asyncio.run(_aiosmtplib(job))


async def _aiosmtplib(job: Job) -> Outcome:
    context = await asyncio.to_thread(lambda: ssl.create_default_context(cafile=str(job.authority)))
    client = aiosmtplib.SMTP(hostname=HOST, port=job.port, use_tls=job.implicit, start_tls=not job.implicit, tls_context=context)
    options = ["SMTPUTF8", "BODY=8BITMIME"] if job.letter.international else []
    try:
        async with client:
            await client.login(job.login, job.password)
            refused, _ = await client.sendmail(job.letter.sender, job.letter.recipients, job.letter.whole, mail_options=options)
    except aiosmtplib.SMTPRecipientsRefused as error:
        return Outcome(sent=False, said="\n".join(f"{one.code} {one.message}" for one in error.recipients))
    except aiosmtplib.SMTPResponseException as error:
        return Outcome(sent=False, said=f"{error.code} {error.message}")
    return Outcome(not refused, "\n".join(f"{one.code} {one.message}" for one in refused.values()))


def nodemailer(job: Job) -> Outcome:
    """Send by nodemailer, which builds the message."""
    return run(["node", str(Tools().node / "send.cjs")], as_json(job))


def go_net_smtp(job: Job) -> Outcome:
    """Send by Go's net/smtp."""
    return run([str(Tools().go)], as_json(job, message=str(job.message)))


def phpmailer(job: Job) -> Outcome:
    """Send by PHPMailer, which builds the message."""
    return run(["php", str(PROGRAMS / "php/send.php")], as_json(job))


def angus_mail(job: Job) -> Outcome:
    """Send by Angus Mail (Jakarta Mail), which builds the message."""
    folder = Tools().java
    told = job.told | {
        "recipients": " ".join(job.letter.recipients),
        "text": job.letter.text.replace("\n", " "),
        "implicit": str(job.implicit),
    }
    lines = "".join(f"{name} {value}\n" for name, value in told.items()).encode()
    return run(["java", "-Dfile.encoding=UTF-8", "-cp", f"{folder}:{folder}/lib/*", "Send"], lines)
