"""``flwr-clientapp``: a host of ClientApps for a SuperNode with ``--isolation process``."""

import argparse
import sys
from collections.abc import Sequence

from flwr.cli.appprocesses import (
    BY_SIGNAL,
    CLIENTAPP_PORT,
    HERE,
    INERT,
    Program,
    guarded,
    parser_of,
    trust_of,
)
from flwr.cli.exitblock import exit_block
from flwr.cli.optionvalues import positive
from flwr.cli.otherversions import Inert
from flwr.supernode.host import HostSettings, run_host
from flwr.supernode.lanes import Patience
from flwr.transport.address import parse

_UNUSED = "a SuperNode gives work to its hosts, and not to a token"
PROGRAM = Program(
    "flwr-clientapp",
    "Run ClientApps for a SuperNode that was started with --isolation process.",
    ("--clientappio-api-address", "--runtime-api-address", "--appio-api-address"),
    inert=(*INERT, Inert("--token", _UNUSED), Inert("--token-file", _UNUSED)),
    port=CLIENTAPP_PORT,
)


def main() -> None:
    """Host ClientApps and exit with the process's status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Host ClientApps until a signal, or the end of the SuperNode; return the exit status."""
    given = _parser().parse_args(arguments)
    return guarded(given, PROGRAM, lambda: host_clientapps(given, given.max_concurrent))


def host_clientapps(given: argparse.Namespace, concurrent: int) -> int:
    """Host ClientApps as options say; return the exit status."""
    return exit_block(BY_SIGNAL[run_host(settings_of(given, concurrent), parent=given.parent_pid)])


def settings_of(given: argparse.Namespace, concurrent: int) -> HostSettings:
    """Return what the options ask for."""
    address = parse(given.address or HERE, CLIENTAPP_PORT)
    patience = Patience(given.max_wait_time)
    return HostSettings(address, trust_of(given), concurrent=concurrent, patience=patience)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(PROGRAM)
    parser.add_argument(
        "--max-concurrent",
        type=positive,
        default=1,
        metavar="N",
        help="messages handled at once, each of another run (default: 1)",
    )
    return parser


if __name__ == "__main__":
    main()
