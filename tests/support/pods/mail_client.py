"""A mail client that reports: reads one JSON job from standard input, prints one JSON line a message.

The job: {"host", "port", "via" (address to connect to instead of the host, with the host's name still verified), "authority" (PEM),
"login", "password", "tls" ("StartTLS" | "Implicit" | "None"), "ciphers" (of TLS 1.2, instead of what is usual),
"preamble" (base64: sent before anything else, TLS included), "messages": [{"sender", "recipients", "data" (base64)}]}.
A line: {"code", "reply"} of the last reply that the message got, and "serial" of the server's certificate under TLS.

With "-" as its argument the job is the first line, and each line after it is one more message for the same session, which is kept open until
there are no more lines; each is answered by a line.

With a file as its argument the job is read from there, and messages are sent for ever: copies of the job's one message whose Subject is
its "subject" and a number. Each line is then the number of a message that was acknowledged. Standard library only.
"""

from __future__ import annotations

import base64
import json
import smtplib
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

TIMEOUT = 30
"""Seconds that any one reply may take."""
CONNECTION = 10
"""Messages of a stream on one connection."""
PAUSE = 0.5
"""Seconds between two connections of a stream."""


class Client(smtplib.SMTP):
    """A client that may connect to another address than the one whose name it verifies."""

    def __init__(self, job: dict[str, Any]) -> None:
        """Connect as the job says."""
        self.via = job.get("via") or [job["host"], job["port"]]
        self.implicit = tls_context(job) if job.get("tls") == "Implicit" else None
        self.name = job["host"]
        self.preamble = base64.b64decode(job.get("preamble", ""))
        super().__init__(job["host"], job["port"], local_hostname="client.example", timeout=TIMEOUT)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 the address of the job counts
        connection = socket.create_connection(tuple(self.via), timeout)
        connection.sendall(self.preamble)
        return self.implicit.wrap_socket(connection, server_hostname=self.name) if self.implicit else connection


def tls_context(job: dict[str, Any]) -> ssl.SSLContext:
    """Return a context that trusts the job's authority alone, and verifies the host's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=job["authority"])
    if "ciphers" in job:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(job["ciphers"])
    return context


def send(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Send the job's messages over one connection; an error ends the rest with the reply that caused it."""
    outcomes: list[dict[str, Any]] = []
    try:
        with begun(job) as client:
            for message in job["messages"]:
                outcomes.append(submit(client, message) | shown(client))  # noqa: PERF401 what was answered before an error is reported
    except smtplib.SMTPResponseException as error:
        outcomes.append({"code": error.smtp_code, "reply": _text(error.smtp_error)})
    except (OSError, smtplib.SMTPException) as error:
        outcomes.append({"code": 0, "reply": f"{type(error).__name__}: {error}"})
    return outcomes


def shown(client: Client) -> dict[str, Any]:
    """Return the serial number of the certificate that the server showed, in hexadecimal."""
    certificate = client.sock.getpeercert() if isinstance(client.sock, ssl.SSLSocket) else None
    return {"serial": certificate["serialNumber"]} if certificate else {}


def begun(job: dict[str, Any]) -> Client:
    """Return a client that is ready to send."""
    client = Client(job)
    try:
        if job.get("tls") == "StartTLS":
            client.starttls(context=tls_context(job))
        if job.get("login"):
            client.login(job["login"], job["password"])
        client.ehlo_or_helo_if_needed()
    except BaseException:
        client.close()
        raise
    return client


def keep(job: dict[str, Any]) -> None:
    """Send a message for each further line of input over one connection, and print its outcome."""
    with begun(job) as client:
        for line in sys.stdin:
            print(json.dumps(submit(client, json.loads(line))), flush=True)


def submit(client: Client, message: dict[str, Any]) -> dict[str, Any]:
    """Send one message; return its last reply."""
    code, reply = client.mail(message["sender"])
    for recipient in message["recipients"]:
        if code // 100 == 2:
            code, reply = client.rcpt(recipient)
    if code // 100 == 2:
        code, reply = client.data(base64.b64decode(message["data"]))
    else:
        client.rset()
    return {"code": code, "reply": _text(reply)}


def stream(job: dict[str, Any]) -> None:
    """Send messages until the process is ended, through whatever happens to the server; print the numbers of those it took."""
    first = 0
    while True:
        numbers = range(first, first + CONNECTION)
        outcomes = send(job | {"messages": [_numbered(job, number) for number in numbers]})
        for number, outcome in zip(numbers, outcomes, strict=False):  # an error ends a connection
            if outcome["code"] == 250:
                print(number, flush=True)
        first = numbers.stop
        time.sleep(PAUSE)


def _numbered(job: dict[str, Any], number: int) -> dict[str, Any]:
    data = f"Subject: {job['subject']} {number:06}\r\n\r\n{number}\r\n".encode()
    return {**job["message"], "data": base64.b64encode(data).decode()}


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        keep(json.loads(sys.stdin.readline()))
        sys.exit()
    if len(sys.argv) > 1:
        stream(json.loads(Path(sys.argv[1]).read_text()))
    for outcome in send(json.load(sys.stdin)):
        print(json.dumps(outcome), flush=True)
