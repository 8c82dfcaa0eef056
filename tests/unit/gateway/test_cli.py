from __future__ import annotations

import argparse
import io
from pathlib import Path

import pytest

from smtp_gateway import __version__
from smtp_gateway.cli import main, parser, port_override
from smtp_gateway.config import signing_keys
from smtp_gateway.config.hashes import hashed
from smtp_gateway.policy.passwords import matches
from tests.support.signing import key as key_of_tests


def test_ports_are_overridden_by_name() -> None:
    """Port 0 asks the system for one."""
    assert port_override("submission=1587") == ("submission", 1587)
    assert port_override("submission=0") == ("submission", 0)


@pytest.mark.parametrize("text", ["", "1587", "submission", "submission=", "=1587", "submission=-1", "submission=65536", "submission=x"])
def test_what_is_no_override_is_refused_with_an_example(text: str) -> None:
    """The sentence shows how one looks."""
    with pytest.raises(argparse.ArgumentTypeError, match="submission=1587"):
        port_override(text)


def test_defaults_need_nothing_but_a_manifest() -> None:
    """The spool is beside the caller, everything else has a default."""
    options = parser().parse_args(["run", "gateway.yaml"])

    assert options.manifest == Path("gateway.yaml")
    assert options.spool == Path("spool")
    assert options.http_port == 8080
    assert options.grace == 25.0
    assert options.ports == []


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "a.yaml", "--config", "dir"], ["run", "a.yaml", "--port", "587"], ["fly"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is on standard error."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_password_is_hashed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed is what a Secret may hold, and what the password matches; the line's end is not part of it."""
    monkeypatch.setattr("sys.stdin", io.StringIO("pa\u00df w\u00f6rt\n"))

    assert main(["hash"]) == 0
    made = hashed(capsys.readouterr().out.removesuffix("\n"))
    assert made is not None
    assert matches(made, "pa\u00df w\u00f6rt".encode())


def test_a_password_is_asked_for_where_somebody_types(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it is not shown."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda: "secret")

    assert main(["hash"]) == 0
    assert capsys.readouterr().out.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize("typed", ["", "\n", "one\ntwo\n"])
def test_what_is_no_password_is_not_hashed(typed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing, or more than one line: a file of several passwords, say."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))

    assert main(["hash"]) == 1
    assert capsys.readouterr().err == "smtp-gateway: one line with the password is needed on standard input\n"


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the package's own."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"smtp-gateway {__version__}\n"


@pytest.mark.parametrize(("arguments", "kind"), [([], "RSA-2048"), (["--kind", "ed25519"], "Ed25519")])
def test_a_key_is_made_and_its_record_printed(
    arguments: list[str], kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one command prints, the other reads."""
    assert main(["dkim", "key", *arguments]) == 0
    pem = capsys.readouterr().out.encode()
    key = signing_keys.read(pem)
    assert signing_keys.described(key) == kind

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(pem)))
    assert main(["dkim", "record", "Example.com", "k1"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (signing_keys.zone_line("example.com", "k1", key) + "\n", "")


def test_a_record_of_no_key_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And of a short one printed, with a word about it."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"none")))
    assert main(["dkim", "record", "example.com", "k1"]) == 1
    assert capsys.readouterr().err.startswith("smtp-gateway: what is on standard input is not a private key in PEM")

    pem = key_of_tests()
    monkeypatch.setattr(signing_keys, "GOOD_RSA", 4096)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(pem)))
    assert main(["dkim", "record", "example.com", "k1"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("k1._domainkey.example.com. IN TXT (")
    assert "should have 4096 bits or more" in printed.err
