"""The admin port of a real process, by its command line."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest

from smtp_gateway.config.rendered import config_hash
from tests.support.admin import POD, Authority, ask, report, reported
from tests.support.gateway import PATIENCE, Process, config, login, process, write_config, write_pair

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from smtp_gateway.config.report import PodReport

OPTIONS = ("--admin-tls", "admin", "--admin-port", "0", "--pod-name", POD)


def when(gateway: Process, operator: ssl.SSLContext, condition: Callable[[PodReport], object]) -> PodReport:
    """Ask until *condition* holds."""
    return asyncio.run(reported(gateway.wait_for("reports to the operator")["port"], operator, condition, PATIENCE))


def test_a_configuration_that_cannot_be_loaded_is_reported(tmp_path: Path) -> None:
    """The hash stays that of the one in force, until the next good one."""
    own = Authority()
    own.mount(tmp_path / "admin")
    operator = own.context(tmp_path / "operator", own.client())
    first, second = config(), config(logins=(login(password="new"),))
    with process(tmp_path, first, further=OPTIONS) as gateway:
        said = when(gateway, operator, lambda said: said.accepting)
        assert (said.pod, said.config_hash, said.config_problem) == (POD, config_hash(first), "")

        (tmp_path / "config" / "config.sha256").write_text("0" * 64)
        said = when(gateway, operator, lambda said: said.config_problem)
        assert "do not belong together" in said.config_problem
        assert said.config_hash == config_hash(first)
        assert "smtp_gateway_config_last_load_successful 0.0" in gateway.get("/metrics")[1]

        gateway.render(second)
        said = when(gateway, operator, lambda said: not said.config_problem)
        assert said.config_hash == config_hash(second)
        assert f'smtp_gateway_config_info{{hash="{config_hash(second)}"}} 1.0' in gateway.get("/metrics")[1]


def test_strangers_at_the_admin_port_leave_no_trace(tmp_path: Path) -> None:
    """Neither what is no TLS, nor a client without a certificate, nor one that hangs up is an error of ours."""
    own = Authority()
    own.mount(tmp_path / "admin")
    operator = own.context(tmp_path / "operator", own.client())
    with process(tmp_path, config(), further=OPTIONS) as gateway:
        port = gateway.wait_for("reports to the operator")["port"]
        for octets in (b"", b"GET /report HTTP/1.1\r\nHost: x\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(octets)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1024):
                    pass
        with pytest.raises(aiohttp.ClientError):
            asyncio.run(ask(port, own.context(tmp_path / "stranger", None)))
        when(gateway, operator, lambda said: said.accepting)
        gateway.signal()
        assert gateway.wait() == 0
    assert {line["level"] for line in gateway.logs if line["event"] != "upstream unreachable"} == {"info"}
    assert gateway.errors == ""


def test_a_stop_is_told_while_it_lasts(tmp_path: Path) -> None:
    """A pod that drains for the last time says so, and does not listen again when its configuration changes meanwhile."""
    own = Authority()
    own.mount(tmp_path / "admin")
    operator = own.context(tmp_path / "operator", own.client())
    with (
        process(tmp_path, config(), further=OPTIONS) as gateway,
        socket.create_connection(("127.0.0.1", gateway.ports["submission"])) as client,
    ):
        client.recv(1024)
        client.sendall(b"EHLO client.example\r\n")
        client.recv(1024)
        port = gateway.wait_for("reports to the operator")["port"]
        assert not asyncio.run(report(port, operator)).draining
        gateway.render(config().model_copy(update={"serving": 0}))
        said = when(gateway, operator, lambda said: said.draining)
        assert not said.accepting
        gateway.signal()
        assert gateway.wait() == 0
    assert len(gateway.events("listening")) == 2


def test_an_admin_port_that_is_taken_ends_in_one_sentence_with_a_way_out(tmp_path: Path) -> None:
    """Exit 2; the sentence names the option. A folder without a pair is another sentence."""
    Authority().mount(tmp_path / "admin")
    write_config(tmp_path / "config", config())
    write_pair(tmp_path / "tls")
    (tmp_path / "empty").mkdir()
    usual = ("--config", "config", "--tls", "tls", "--host", "127.0.0.1", "--http-host", "127.0.0.1", "--http-port", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run(tmp_path, *usual, "--admin-tls", "admin", "--admin-port", str(port))
    assert said.returncode == 2
    assert f"reports to the operator cannot use port {port}" in said.stderr
    assert "--admin-port" in said.stderr

    said = run(tmp_path, *usual, "--admin-tls", "empty", "--admin-port", "0")
    assert said.returncode == 1
    assert said.stderr == "smtp-gateway: tls.crt or tls.key in empty cannot be read: No such file or directory\n"


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a gateway that does not start."""
    line = [sys.executable, "-m", "smtp_gateway", "run", *options]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
