"""``flower-supernode``: the agent beside the data."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from flwr._version import __version__
from flwr.cli import exitblock
from flwr.cli.exitblock import exit_block
from flwr.config import parse_config_args
from flwr.errors import AddressError, FlwrError, RefusedError, SettingsError
from flwr.log import log
from flwr.supernode.lanes import Patience
from flwr.supernode.serve import NeverConnectedError, Settings, run_supernode
from flwr.transport.address import Address, parse
from flwr.transport.call import Refusal
from flwr.transport.tls import ClientTls, ServerTls

FLEET_PORT, CLIENTAPP_PORT = 9092, 9094
_BY_SIGNAL = {signal.SIGINT: exitblock.SIGINT, signal.SIGTERM: exitblock.SIGTERM}
_NOT_YET = {
    "auth_supernode_private_key": "--auth-supernode-private-key",
    "auth_supernode_public_key": "--auth-supernode-public-key",
    "trusted_entities": "--trusted-entities",
    "superexec_auth_secret_file": "--superexec-auth-secret-file",
}


def main() -> None:
    """Run a SuperNode and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a SuperNode; return the exit status."""
    given = _parser().parse_args(arguments)
    if given.insecure and given.root_certificates is not None:
        return exit_block(exitblock.ROOT_CERTIFICATES_INCOMPATIBLE)
    try:
        if given.flwr_dir is not None:
            os.environ["FLWR_HOME"] = str(given.flwr_dir)
        return exit_block(_BY_SIGNAL[run_supernode(_settings(given))])
    except NeverConnectedError as error:
        return exit_block(exitblock.SUPERNODE_CONNECTION_ERROR, str(error.__cause__))
    except AddressError as error:
        return exit_block(exitblock.ADDRESS_INVALID, str(error))
    except FlwrError as error:
        if isinstance(error, RefusedError) and error.code == Refusal.VERSION:
            return exit_block(exitblock.VERSION_INCOMPATIBLE, str(error))
        log(logging.ERROR, "%s", error)
        return error.exit_code


def _settings(given: argparse.Namespace) -> Settings:
    for name, flag in _NOT_YET.items():
        if getattr(given, name) is not None:
            raise SettingsError(
                f"{flag} is not there yet: a SuperNode cannot do what it promises.",
                hint="Start without it, in a network that you trust.",
            )
    address = parse(given.superlink, FLEET_PORT)
    _say_what_has_no_meaning(given)
    return Settings(
        superlink=address,
        tls=_tls(given, address),
        node_config=parse_config_args([given.node_config], option="--node-config"),
        state_dir=given.state_dir,
        concurrent=given.max_concurrent,
        patience=Patience(given.max_wait_time, given.max_retries),
        health=parse(given.health_server_address) if given.health_server_address else None,
        hosts=_hosts(given) if given.isolation == "process" else None,
        hosts_tls=_hosts_tls(given),
    )


def _hosts(given: argparse.Namespace) -> Address:
    """Return where hosts of ClientApps are served: on all interfaces, as in containers."""
    if given.clientappio_api_address is not None:
        return parse(given.clientappio_api_address, CLIENTAPP_PORT)
    if given.host is not None or given.port is not None:
        port = CLIENTAPP_PORT if given.port is None else given.port
        return Address(given.host or "127.0.0.1", port)
    return Address("0.0.0.0", CLIENTAPP_PORT)  # noqa: S104  (documented)


def _hosts_tls(given: argparse.Namespace) -> ServerTls | None:
    files = (given.ssl_certfile, given.ssl_keyfile, given.ssl_ca_certfile)
    if not any(files):
        if given.isolation == "process":
            log(
                logging.WARNING,
                "ClientApps are served without TLS: who is on that network reads what they get "
                "and answer. (--ssl-certfile, --ssl-keyfile and --ssl-ca-certfile encrypt it.)",
            )
        return None
    if not all(files):
        raise SettingsError(
            "TLS for hosts of ClientApps needs all of --ssl-certfile, --ssl-keyfile and "
            "--ssl-ca-certfile."
        )
    tls = ServerTls(*files)
    tls.check()
    return tls


def _tls(given: argparse.Namespace, address: Address) -> ClientTls | None:
    if given.insecure or address.secure is False:
        if address.secure and given.insecure:
            raise SettingsError(f"--insecure, but the address {given.superlink} is https.")
        if not given.insecure:
            raise SettingsError(
                f"The address {given.superlink} is plain http.",
                hint="Add --insecure if that is meant.",
            )
        return None
    tls = ClientTls(given.root_certificates)
    tls.context()  # a file that cannot be used is told now
    return tls


def _say_what_has_no_meaning(given: argparse.Namespace) -> None:
    for name in ("grpc_rere", "grpc_adapter", "rest"):
        if getattr(given, name):
            flag = "--" + name.replace("_", "-")
            log(logging.WARNING, "%s has no meaning here: there is one transport, HTTP.", flag)
    if given.isolation == "subprocess":
        for name in ("clientappio_api_address", "host", "port", "ssl_certfile"):
            if getattr(given, name) is not None:
                flag = "--" + name.replace("_", "-")
                log(logging.WARNING, "%s has no effect without --isolation process.", flag)
    if given.allow_runtime_dependency_installation:
        log(
            logging.WARNING,
            "--allow-runtime-dependency-installation has no meaning here: install what apps need.",
        )


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, not {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flower-supernode", description="Start a SuperNode: the agent beside the data."
    )
    parser.add_argument(
        "-V", "--version", action="version", version=f"Flower version: {__version__}"
    )
    link = parser.add_argument_group("the SuperLink")
    link.add_argument(
        "--superlink",
        default="127.0.0.1:9092",
        metavar="HOST:PORT",
        help="address of its Fleet API (default: %(default)s)",
    )
    link.add_argument("--insecure", action="store_true", help="connect without TLS")
    link.add_argument(
        "--root-certificates",
        type=Path,
        metavar="PEM",
        help="certificates to trust instead of the system's",
    )
    link.add_argument(
        "--max-wait-time",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="how long to try again when it does not answer (default: 600)",
    )
    link.add_argument(
        "--max-retries", type=int, metavar="N", help="how often to try again (default: no limit)"
    )
    _add_node(parser)
    _add_hosts(parser)
    _add_unused(parser)
    return parser


def _add_node(parser: argparse.ArgumentParser) -> None:
    node = parser.add_argument_group("the node")
    node.add_argument(
        "--node-config",
        default="",
        metavar="'KEY=VALUE …'",
        help="what apps find in context.node_config, as TOML values: 'partition-id=0 name=\"a\"'",
    )
    node.add_argument(
        "--max-concurrent",
        type=_positive,
        default=1,
        metavar="N",
        help="messages handled at once, each of another run (default: 1)",
    )
    node.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help="folder of its identity, contexts and finished replies (default: a free slot in "
        "FLWR_HOME for this SuperLink and node configuration)",
    )
    node.add_argument("--flwr-dir", type=Path, metavar="DIR", help="use this as FLWR_HOME")
    node.add_argument(
        "--health-server-address", metavar="HOST:PORT", help="answer GET /health there"
    )


def _add_hosts(parser: argparse.ArgumentParser) -> None:
    hosts = parser.add_argument_group("hosts of ClientApps")
    hosts.add_argument(
        "--isolation",
        choices=("subprocess", "process"),
        default="subprocess",
        help="where ClientApps run: in workers of this SuperNode (default), or in processes that "
        "are started apart and connect to it: flwr-clientapp or flower-superexec",
    )
    hosts.add_argument(
        "--clientappio-api-address",
        metavar="HOST:PORT",
        help="where those connect with --isolation process (default: 0.0.0.0:9094)",
    )
    hosts.add_argument("--host", help="the same: the host (default: 127.0.0.1)")
    hosts.add_argument("--port", type=int, help="the same: the port (default: 9094)")
    for name in ("certfile", "keyfile", "ca-certfile"):
        hosts.add_argument(
            f"--ssl-{name}",
            f"--appio-ssl-{name}",
            type=Path,
            metavar="PEM",
            help="TLS for them; all three files or none",
        )


def _add_unused(parser: argparse.ArgumentParser) -> None:
    """Add what other versions have: refused if it promises security, else said to be unused."""
    other = parser.add_argument_group("accepted for command lines of other versions")
    for flag in ("--grpc-rere", "--grpc-adapter", "--rest"):
        other.add_argument(flag, action="store_true", help="no meaning: the transport is HTTP")
    other.add_argument(
        "--allow-runtime-dependency-installation",
        action="store_true",
        help="no meaning: install what apps need",
    )
    for flag in _NOT_YET.values():
        other.add_argument(flag, metavar="FILE", help="refused: not there yet")


if __name__ == "__main__":
    main()
