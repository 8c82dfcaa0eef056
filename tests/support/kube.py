"""kubectl and helm as the tests and the demo use them: real clients, one namespace at a time. Standard library only."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.provider import Cluster

TIMEOUT = 300
"""Seconds after which a command hangs, and is a failure."""


class CommandError(Exception):
    """A command failed; its output is the message."""


@dataclass(frozen=True, slots=True)
class Kube:
    """A cluster, seen from one namespace."""

    cluster: Cluster
    namespace: str = "default"

    def within(self, namespace: str) -> Kube:
        """Return the same cluster seen from *namespace*."""
        return replace(self, namespace=namespace)

    def command(self, *arguments: str) -> list[str]:
        """Return the kubectl command line for *arguments*."""
        cluster = self.cluster
        return [
            str(cluster.kubectl),
            f"--kubeconfig={cluster.kubeconfig}",
            f"--context={cluster.context}",
            "-n",
            self.namespace,
            *arguments,
        ]

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed. Raises `CommandError`."""
        return run(self.command(*arguments), stdin)

    def helm(self, *arguments: str) -> str:
        """Run helm and return what it printed. Raises `CommandError`."""
        cluster = self.cluster
        where = [f"--kubeconfig={cluster.kubeconfig}", f"--kube-context={cluster.context}", "-n", self.namespace]
        return run([str(cluster.helm), *where, *arguments])

    def get(self, *arguments: str) -> Any:
        """Return the object, or the list's items, that `kubectl get` finds."""
        found = json.loads(self("get", *arguments, "-o", "json"))
        return found["items"] if found.get("kind") == "List" else found

    def exists(self, *arguments: str) -> bool:
        """Tell whether `kubectl get` finds the object."""
        return bool(self("get", *arguments, "--ignore-not-found", "-o", "name").strip())

    def apply(self, *objects: dict[str, Any]) -> str:
        """Apply *objects*. Raises `CommandError` with the API server's sentence when it refuses one."""
        # A stream that begins with a brace is read as one JSON value by some versions of kubectl.
        return self("apply", "-f", "-", stdin="".join(f"---\n{json.dumps(one)}\n" for one in objects))

    @contextmanager
    def port_forward(self, target: str, port: int) -> Iterator[int]:
        """Forward a free local port to *port* of *target* while the context lasts; yield it."""
        with _listening(self.command("port-forward", target, f":{port}")) as local:
            yield local

    @contextmanager
    def proxy(self) -> Iterator[int]:
        """Let programs on this machine use the API as this client, without credentials, while the context lasts; yield the local port."""
        with _listening(self.command("proxy", "--port=0")) as local:
            yield local


@contextmanager
def _listening(command: list[str]) -> Iterator[int]:
    """Run *command* while the context lasts; yield the local port that it says it listens on."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        match = re.search(r"127\.0\.0\.1:(\d+)", said)
        if match is None:
            raise CommandError(said + process.stdout.read())
        yield int(match[1])
    finally:
        process.kill()
        process.communicate()


def run(command: list[str], stdin: str | None = None) -> str:
    """Run *command* and return its output. Raises `CommandError`."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        message = f"{' '.join(command[:1] + command[-3:])} did not end within {TIMEOUT} s"
        raise CommandError(message) from error
    if done.returncode:
        raise CommandError(done.stderr.strip() or done.stdout.strip())
    return done.stdout
