"""``flower-superexec``: starts app processes for a SuperLink, or ClientApps for a SuperNode."""

import argparse
import asyncio
import logging
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from flwr.cli.appprocesses import facts_of, guarded, launch, parser_of
from flwr.errors import SettingsError
from flwr.log import log
from flwr.runtime.superexec import MODULES, Launcher

_CLIENTAPP = "clientapp"


def main() -> None:
    """Run ``flower-superexec`` and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Start what is asked for until a signal comes; return the exit status."""
    given = _parser().parse_args(arguments)
    return guarded(given, lambda: _serve(given))


def _serve(given: argparse.Namespace) -> int:
    _check(given)
    if given.health_server_address is not None:
        _serve_health(given.health_server_address)
    if given.plugin_type == _CLIENTAPP:
        return _host_clientapps(given)
    kinds = list(MODULES) if given.plugin_type is None else [given.plugin_type]
    return launch(Launcher(facts_of(given), kinds))


def _check(given: argparse.Namespace) -> None:
    if given.superexec_auth_secret_file is not None:
        raise SettingsError(
            "--superexec-auth-secret-file asks for something that this version does not have: "
            "launchers are not authenticated.",
            hint="Leave the option out only if you can do without what it protects.",
        )
    if given.executor == "kubernetes":
        raise SettingsError(
            "--executor kubernetes is not there: app processes are started on this machine.",
            hint="Start one flower-superexec in each pod that is to run apps.",
        )
    if given.executor_config is not None:
        log(logging.WARNING, "--executor-config has no effect: subprocesses have no settings.")


def _host_clientapps(given: argparse.Namespace) -> int:
    from flwr.cli.flwr_clientapp import run as run_clientapp

    arguments = ["--runtime-api-address", given.address]
    if given.insecure:
        arguments.append("--insecure")
    if given.root_certificates is not None:
        arguments += ["--root-certificates", str(given.root_certificates)]
    return run_clientapp(arguments)


def _serve_health(text: str) -> None:
    """Answer ``GET /health`` from a thread."""
    from flwr.transport.address import parse
    from flwr.transport.server import Listen, serve

    loop = asyncio.new_event_loop()
    loop.run_until_complete(serve([Listen(parse(text))]))
    threading.Thread(target=loop.run_forever, name="flwr-health", daemon=True).start()


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "flower-superexec",
        "Start app processes for a SuperLink, or ClientApps for a SuperNode, that was started "
        "with --isolation process.",
        ["--runtime-api-address", "--appio-api-address"],
    )
    add = parser.add_argument
    add(
        "--plugin-type",
        choices=[*MODULES, _CLIENTAPP],
        help="what to start: a SuperLink's serverapp or simulation (default: both), or a "
        "SuperNode's clientapp",
    )
    add(
        "--executor",
        choices=["subprocess", "kubernetes"],
        default="subprocess",
        help="how to start it: subprocess; kubernetes is not there",
    )
    add("--executor-config", type=Path, metavar="PATH", help="no meaning for subprocesses")
    add(
        "--superexec-auth-secret-file",
        type=Path,
        metavar="FILE",
        help="refused: launchers are not authenticated yet",
    )
    add("--health-server-address", metavar="HOST:PORT", help="serve GET /health there, over HTTP")
    return parser


if __name__ == "__main__":
    main()
