"""``flower-superexec``: starts app processes for a SuperLink, or ClientApps for a SuperNode."""

import argparse
import asyncio
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace

from flwr.cli import exitblock
from flwr.cli.appprocesses import (
    CLIENTAPP_PORT,
    INERT,
    Program,
    end_with_parent,
    facts_of,
    guarded,
    launch,
    parser_of,
)
from flwr.cli.otherversions import Inert, Refused, RefusedOptionError
from flwr.runtime.superexec import MODULES, Launcher

_CLIENTAPP = "clientapp"
_KUBERNETES = Refused(
    "--executor kubernetes",
    "app processes are started on this machine",
    exitblock.SUPEREXEC_INVALID_EXECUTOR_CONFIG,
    hint="Start one flower-superexec in each pod that is to run apps.",
)
PROGRAM = Program(
    "flower-superexec",
    "Start app processes for a SuperLink, or ClientApps for a SuperNode, that was started with "
    "--isolation process.",
    ("--runtime-api-address", "--appio-api-address"),
    inert=(*INERT, Inert("--executor-config", "subprocesses have no settings")),
    refused=(
        Refused(
            "--superexec-auth-secret-file",
            "launchers are not authenticated",
            exitblock.SUPEREXEC_AUTH_SECRET_LOAD_FAILED,
        ),
    ),
)


def main() -> None:
    """Run ``flower-superexec`` and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Start what is asked for until a signal comes; return the exit status."""
    given = _parser().parse_args(arguments)
    clientapps = given.plugin_type == _CLIENTAPP
    program = replace(PROGRAM, port=CLIENTAPP_PORT) if clientapps else PROGRAM
    return guarded(given, program, lambda: _serve(given))


def _serve(given: argparse.Namespace) -> int:
    if given.executor == "kubernetes":
        raise RefusedOptionError(_KUBERNETES)
    if given.health_server_address is not None:
        _serve_health(given.health_server_address)
    if given.plugin_type == _CLIENTAPP:
        from flwr.cli.flwr_clientapp import host_clientapps

        return host_clientapps(given, 1)
    end_with_parent(given)
    kinds = list(MODULES) if given.plugin_type is None else [given.plugin_type]
    return launch(Launcher(facts_of(given), kinds))


def _serve_health(text: str) -> None:
    """Answer ``GET /health`` from a thread."""
    from flwr.transport.address import parse
    from flwr.transport.server import Listen, serve

    loop = asyncio.new_event_loop()
    loop.run_until_complete(serve([Listen(parse(text))]))
    threading.Thread(target=loop.run_forever, name="flwr-health", daemon=True).start()


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(PROGRAM)
    add = parser.add_argument
    add(
        "--plugin-type",
        choices=[*MODULES, _CLIENTAPP],
        help="what to start: a SuperLink's serverapp or simulation (default: both), or a "
        f"SuperNode's clientapp, whose address is 127.0.0.1:{CLIENTAPP_PORT} by default",
    )
    add(
        "--executor",
        choices=["subprocess", "kubernetes"],
        default="subprocess",
        help="how to start it: subprocess; kubernetes is refused",
    )
    add("--health-server-address", metavar="HOST:PORT", help="serve GET /health there, over HTTP")
    return parser


if __name__ == "__main__":
    main()
