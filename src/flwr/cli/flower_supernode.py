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
from flwr.cli.optionvalues import count, port, positive, seconds
from flwr.cli.otherversions import (
    NO_INSTALLATION,
    Inert,
    Refused,
    RefusedOptionError,
    add_options,
    judge_options,
)
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
_TRANSPORT = "there is one transport, HTTP"
INERT = (
    Inert("--grpc-rere", _TRANSPORT, value=False),
    Inert("--grpc-adapter", _TRANSPORT, value=False),
    Inert("--rest", _TRANSPORT, value=False),
    NO_INSTALLATION,
)
_KEYS = "nodes are not authenticated"
REFUSED = (
    Refused("--auth-supernode-private-key", _KEYS, exitblock.SUPERNODE_NODE_AUTH_KEYS_INVALID),
    Refused("--auth-supernode-public-key", _KEYS, exitblock.SUPERNODE_NODE_AUTH_KEYS_INVALID),
    Refused(
        "--trusted-entities",
        "apps carry no signatures",
        exitblock.SUPERNODE_INVALID_TRUSTED_ENTITIES,
    ),
    Refused(
        "--superexec-auth-secret-file",
        "launchers are not authenticated",
        exitblock.SUPEREXEC_AUTH_SECRET_LOAD_FAILED,
    ),
)
# what only matters to processes that run ClientApps and are started apart
_FOR_HOSTS = (
    "clientappio_api_address", "host", "port", "ssl_certfile", "ssl_keyfile", "ssl_ca_certfile",
)  # fmt: skip


def main() -> None:
    """Run a SuperNode and exit with its status."""
    sys.exit(run(sys.argv[1:]))


class _CertificatesError(SettingsError):
    """TLS cannot be served with the certificates."""


def run(arguments: list[str]) -> int:
    """Run a SuperNode; return the exit status."""
    given = _parser().parse_args(arguments)
    if given.insecure and given.root_certificates is not None:
        return exit_block(exitblock.ROOT_CERTIFICATES_INCOMPATIBLE)
    try:
        if given.flwr_dir is not None:
            os.environ["FLWR_HOME"] = str(given.flwr_dir)
        return exit_block(_BY_SIGNAL[run_supernode(read_settings(given))])
    except NeverConnectedError as error:
        return exit_block(exitblock.SUPERNODE_CONNECTION_ERROR, str(error.__cause__))
    except FlwrError as error:
        return _end(error)


def _end(error: FlwrError) -> int:
    """Say what ended it; return the exit status."""
    if isinstance(error, AddressError):
        return exit_block(exitblock.ADDRESS_INVALID, str(error))
    if isinstance(error, RefusedOptionError):
        return exit_block(error.number, str(error))
    if isinstance(error, _CertificatesError):
        return exit_block(exitblock.SERVER_CERTIFICATES_INVALID, str(error))
    if isinstance(error, RefusedError) and error.code == Refusal.VERSION:
        return exit_block(exitblock.VERSION_INCOMPATIBLE, str(error))
    log(logging.ERROR, "%s", error)
    return error.exit_code


def read_settings(given: argparse.Namespace) -> Settings:
    """Return what the options ask for.

    Raises
    ------
    SettingsError
        If they contradict each other, or promise what is not there.
    AddressError
        If an address cannot be read.
    """
    judge_options(given, INERT, REFUSED)
    if given.isolation == "subprocess":
        for name in _FOR_HOSTS:
            if getattr(given, name) is not None:
                flag = "--" + name.replace("_", "-")
                log(logging.WARNING, "%s has no effect without --isolation process.", flag)
    address = parse(given.superlink, FLEET_PORT)
    apart = given.isolation == "process"
    return Settings(
        superlink=address,
        tls=_tls(given, address),
        node_config=parse_config_args([given.node_config], option="--node-config"),
        state_dir=given.state_dir,
        concurrent=given.max_concurrent,
        patience=Patience(given.max_wait_time, given.max_retries),
        health=parse(given.health_server_address) if given.health_server_address else None,
        hosts=_hosts(given) if apart else None,
        hosts_tls=_hosts_tls(given) if apart else None,
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
        log(
            logging.WARNING,
            "ClientApps are served without TLS: who is on that network reads what they get "
            "and answer. (--ssl-certfile, --ssl-keyfile and --ssl-ca-certfile encrypt it.)",
        )
        return None
    if not all(files):
        raise _CertificatesError(
            "TLS for hosts of ClientApps needs all of --ssl-certfile, --ssl-keyfile and "
            "--ssl-ca-certfile."
        )
    tls = ServerTls(*files)
    try:
        tls.check()
    except SettingsError as error:
        raise _CertificatesError(error.message, hint=error.hint) from error
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
        type=seconds,
        default=600.0,
        metavar="SECONDS",
        help="how long to try again when it does not answer; inf: for ever (default: 600)",
    )
    link.add_argument(
        "--max-retries", type=count, metavar="N", help="how often to try again (default: no limit)"
    )
    _add_node(parser)
    _add_hosts(parser)
    add_options(parser, INERT, REFUSED)
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
        type=positive,
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
    hosts.add_argument("--port", type=port, help="the same: the port (default: 9094)")
    for name in ("certfile", "keyfile", "ca-certfile"):
        hosts.add_argument(
            f"--ssl-{name}",
            f"--appio-ssl-{name}",
            type=Path,
            metavar="PEM",
            help="TLS for them; all three files or none",
        )


if __name__ == "__main__":
    main()
