"""``flwr-clientapp``: a host of ClientApps for a SuperNode with ``--isolation process``."""

import argparse
import logging
import os
import sys
from pathlib import Path

from flwr._version import __version__
from flwr.cli import exitblock
from flwr.cli.exitblock import exit_block
from flwr.errors import AddressError, FlwrError, LinkError, RefusedError
from flwr.log import log
from flwr.supernode.host import HostSettings, run_host
from flwr.transport.address import parse
from flwr.transport.call import Refusal
from flwr.transport.tls import ClientTls

PORT = 9094


def main() -> None:
    """Host ClientApps and exit with the process's status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Host ClientApps until a signal, or the end of the SuperNode; return the exit status."""
    given = _parser().parse_args(arguments)
    if given.insecure and given.root_certificates is not None:
        return exit_block(exitblock.ROOT_CERTIFICATES_INCOMPATIBLE)
    try:
        if given.flwr_dir is not None:
            os.environ["FLWR_HOME"] = str(given.flwr_dir)
        run_host(_settings(given), parent=given.parent_pid)
    except AddressError as error:
        return exit_block(exitblock.ADDRESS_INVALID, str(error))
    except LinkError as error:
        if isinstance(error, RefusedError) and error.code == Refusal.VERSION:
            return exit_block(exitblock.VERSION_INCOMPATIBLE, str(error))
        return exit_block(exitblock.CLIENTAPP_COMMUNICATION_ERROR, str(error))
    except FlwrError as error:
        log(logging.ERROR, "%s", error)
        return error.exit_code
    return 0


def _settings(given: argparse.Namespace) -> HostSettings:
    if given.token is not None or given.token_file is not None:
        log(logging.WARNING, "A token has no meaning here: a SuperNode gives work to its hosts.")
    if given.allow_runtime_dependency_installation:
        log(
            logging.WARNING,
            "--allow-runtime-dependency-installation has no meaning here: install what apps need.",
        )
    tls = None if given.insecure else ClientTls(given.root_certificates)
    return HostSettings(parse(given.supernode, PORT), tls, concurrent=given.max_concurrent)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flwr-clientapp",
        description="Run ClientApps for a SuperNode that was started with --isolation process.",
    )
    add = parser.add_argument
    add("-V", "--version", action="version", version=f"Flower version: {__version__}")
    add(
        "--clientappio-api-address",
        "--runtime-api-address",
        "--appio-api-address",
        dest="supernode",
        default=f"127.0.0.1:{PORT}",
        metavar="HOST:PORT",
        help="the SuperNode (default: %(default)s)",
    )
    add("--insecure", action="store_true", help="connect without TLS")
    add(
        "--root-certificates",
        type=Path,
        metavar="PEM",
        help="certificates to trust instead of the system's",
    )
    add(
        "--max-concurrent",
        type=int,
        choices=range(1, 1001),
        default=1,
        metavar="N",
        help="messages handled at once, each of another run (default: 1)",
    )
    add("--parent-pid", type=int, metavar="PID", help="end when this process does")
    add("--flwr-dir", type=Path, metavar="DIR", help="use this as FLWR_HOME")
    add("--token", help="no meaning: work is not tied to a token")
    add("--token-file", metavar="FILE", help="no meaning, likewise")
    add(
        "--allow-runtime-dependency-installation",
        action="store_true",
        help="no meaning: install what apps need",
    )
    return parser


if __name__ == "__main__":
    main()
