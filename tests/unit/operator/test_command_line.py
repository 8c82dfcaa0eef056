"""The command line: what it takes, what it refuses, and what kopf is told of it."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import kopf
import pytest

from smtp_gateway_operator.__main__ import main, options_of
from smtp_gateway_operator.desired import Images
from smtp_gateway_operator.startup import logs
from smtp_gateway_operator.startup.process import Options

IMAGE = "--gateway-image=example.com/smtp-gateway:1"
GIVEN = Images("example.com/smtp-gateway:1")


@pytest.mark.parametrize(
    ("arguments", "environment", "options"),
    [
        (["--all-namespaces", IMAGE], {}, Options((), GIVEN)),
        (["--namespace=b", "--namespace=a", "--namespace=b", IMAGE], {}, Options(("b", "a"), GIVEN)),
        (["--all-namespaces"], {"GATEWAY_IMAGE": GIVEN.gateway}, Options((), GIVEN)),
        (["--all-namespaces", IMAGE], {"GATEWAY_IMAGE": "example.com/other:1"}, Options((), GIVEN)),
        (["--all-namespaces", IMAGE, "--operator-namespace=s"], {}, Options((), Images("example.com/smtp-gateway:1", "s"))),
        (["--namespace=a", IMAGE, "--http-port=1", "--probe-port=2"], {}, Options(("a",), GIVEN, http_port=1, probe_port=2)),
    ],
)
def test_what_is_understood(arguments: list[str], environment: dict[str, str], options: Options) -> None:
    """Namespaces once each, in their order; the image from the command line, else from the environment."""
    given = options_of(arguments, environment | {"POD_UID": "uid-1"})

    assert given == replace(options, identity=f"{socket.gethostname()}_uid-1")
    assert options_of(arguments, environment).identity != options_of(arguments, environment).identity


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([IMAGE], "one of the arguments --namespace --all-namespaces is required"),
        (["--namespace=a", "--all-namespaces", IMAGE], "argument --all-namespaces: not allowed with argument --namespace"),
        (["--all-namespaces"], "the gateway's image is needed: --gateway-image or GATEWAY_IMAGE"),
        (["--all-namespaces", "--gateway-image="], "the gateway's image is needed: --gateway-image or GATEWAY_IMAGE"),
        (["--all-namespaces", IMAGE, "--http-port=http"], "argument --http-port: invalid int value: 'http'"),
    ],
)
def test_what_is_refused(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with status 2 and one sentence on standard error: an operator must not guess what it may touch."""
    with pytest.raises(SystemExit) as ended:
        options_of(arguments, {})

    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f"smtp-gateway-operator: error: {sentence}\n")


@pytest.mark.parametrize(("scope", "namespaces"), [(["--all-namespaces"], []), (["--namespace=a", "--namespace=b"], ["a", "b"])])
def test_kopf_watches_what_was_asked_for(monkeypatch: pytest.MonkeyPatch, scope: list[str], namespaces: list[str]) -> None:
    """The scope, a way to end it and an identity that needs no user name reach kopf, and it looks for nothing beyond the scope."""
    told: dict[str, Any] = {}
    monkeypatch.setattr(logs, "configure", lambda: told.update(logs=True))
    monkeypatch.setattr(kopf, "run", told.update)

    main([*scope, IMAGE])

    assert (told["namespaces"], told["clusterwide"]) == (namespaces, not namespaces)
    assert told["settings"].scanning.disabled is True
    assert not told["stop_flag"].is_set()
    assert (told["standalone"], told["identity"], told["logs"]) == (True, "smtp-gateway-operator", True)
