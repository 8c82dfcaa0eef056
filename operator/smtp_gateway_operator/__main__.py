"""`smtp-gateway-operator`: the command line, and nothing else.

Ends with status 0 after SIGTERM or SIGINT, and when a namespace is to be served that was left out; with 1 when a Lease is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
import uuid
from typing import TYPE_CHECKING

import kopf

from smtp_gateway_operator.desired import Images
from smtp_gateway_operator.handlers import registry_of
from smtp_gateway_operator.names import OPERATOR
from smtp_gateway_operator.startup import logs
from smtp_gateway_operator.startup.process import Options, Process
from smtp_gateway_operator.startup.settings import kopf_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IMAGE_VARIABLE = "GATEWAY_IMAGE"
POD_VARIABLE = "POD_UID"
"""Tells the process its pod's uid. A container that is started again in its pod is the same operator, and need not wait for itself."""


def options_of(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> Options:
    """Return what the command line and the environment say. Exits with status 2 and a sentence when that is not enough."""
    parser = argparse.ArgumentParser(OPERATOR, description="Turns SmtpGateway resources into running SMTP gateways.")
    scope = parser.add_mutually_exclusive_group(required=True)
    scope.add_argument("--namespace", action="append", default=[], metavar="NAME", help="watch this namespace; may be repeated")
    scope.add_argument("--all-namespaces", action="store_true", help="watch every namespace")
    parser.add_argument("--gateway-image", default=environment.get(IMAGE_VARIABLE), help=f"image of the pods [${IMAGE_VARIABLE}]")
    parser.add_argument(
        "--operator-namespace", default="", metavar="NAME", help="where this operator runs: network policies let it reach the pods"
    )
    parser.add_argument("--http-port", type=int, default=8080, metavar="PORT", help="serves /metrics [%(default)s]")
    parser.add_argument("--probe-port", type=int, default=8081, metavar="PORT", help="serves /healthz and /readyz [%(default)s]")
    given = parser.parse_args(arguments)
    if not given.gateway_image:
        parser.error(f"the gateway's image is needed: --gateway-image or {IMAGE_VARIABLE}")
    identity = f"{socket.gethostname()}_{environment.get(POD_VARIABLE) or uuid.uuid4()}"
    images = Images(given.gateway_image, given.operator_namespace)
    return Options(tuple(dict.fromkeys(given.namespace)), images, given.http_port, given.probe_port, identity)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the operator until it is told to stop."""
    options = options_of(arguments, os.environ)
    logs.configure()
    gone = asyncio.Event()
    process = Process(options, gone.set)
    kopf.run(
        registry=registry_of(process),
        settings=kopf_settings(),
        # kopf would ask the system for the user's name, which the image's numeric user does not have.
        identity=OPERATOR,  # type: ignore[arg-type] # kopf's type of it is private
        standalone=True,
        clusterwide=not options.namespaces,
        # The list itself: kopf reads it once the start is done, which may have left some out.
        namespaces=process.served,
        stop_flag=gone,
    )
    if process.lost:
        sys.exit(1)


if __name__ == "__main__":
    main()
