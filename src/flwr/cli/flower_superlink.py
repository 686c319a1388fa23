"""``flower-superlink``: the hub. It takes the options of Flower 1.18 and of 1.41."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from logging import INFO, WARNING
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path

from flwr._version import __version__
from flwr.cli import exitblock
from flwr.cli.exitblock import exit_block
from flwr.cli.optionvalues import port, positive, seconds
from flwr.cli.otherversions import NO_INSTALLATION, Inert, Refused, add_options, judge_options
from flwr.config import parse_config_args, state_dir
from flwr.errors import (
    AddressError,
    DatabaseDamagedError,
    DatabaseNewerError,
    FlwrError,
    SettingsError,
    StoreError,
)
from flwr.log import FLOWER_LOGGER, file_formatter, log
from flwr.runtime.appprocess import PATIENCE
from flwr.superlink.databasefile import STATE_DIR_VARIABLE, database_file, require_writable
from flwr.superlink.settings import Isolation, Port, Service, Settings
from flwr.transport.address import Address, parse
from flwr.transport.tls import ServerTls

_BY_SIGNAL = {signal.SIGINT: exitblock.SIGINT, signal.SIGTERM: exitblock.SIGTERM}
IN_MEMORY = (":flwr-in-memory:", ":flwr-in-memory-state:", ":memory:")
APP_PORT, FLEET_PORT, CONTROL_PORT, REST_PORT, SIMULATION_PORT = 9091, 9092, 9093, 9095, 9096
HTTP_PORT = 8000  # with --host or --port
ALL = (Service.APP, Service.FLEET, Service.CONTROL)
SIMULATION_EXECUTOR = "flwr.superexec.simulation:executor"
EXECUTORS = ("flwr.superexec.deployment:executor", SIMULATION_EXECUTOR)

_NODES, _ACCOUNTS = "nodes are not authenticated", "accounts are not authenticated"
_INVALID = exitblock.SUPERLINK_INVALID_ARGS
REFUSED = (
    Refused("--auth-list-public-keys", _NODES, _INVALID),
    Refused("--auth-superlink-private-key", _NODES, _INVALID),
    Refused("--auth-superlink-public-key", _NODES, _INVALID),
    Refused("--enable-supernode-auth", _NODES, _INVALID, value=False),
    Refused("--superexec-auth-secret-file", "launchers are not authenticated", _INVALID),
    Refused("--user-auth-config", _ACCOUNTS, _INVALID),
    Refused("--account-auth-config", _ACCOUNTS, _INVALID),
    Refused("--disable-oidc-tls-cert-verification", _ACCOUNTS, _INVALID, value=False),
    Refused("--enable-event-log", "no audit log is written", _INVALID, value=False),
    Refused(
        "--artifact-provider-config",
        "artifacts are kept in the folders of runs only",
        _INVALID,
        hint="Leave the option out; fetch what runs leave from FLWR_HOME/wildflower/runs.",
    ),
)
INERT = (
    Inert("--storage-dir", "apps are kept in the database"),
    Inert("--flwr-dir", "set FLWR_HOME instead"),
    Inert("--fleet-api-num-workers", "one process serves all nodes"),
    Inert("--executor-dir", "FLWR_HOME says where files lie"),
    Inert(
        "--disable-runtime-dependency-installation",
        "the SuperLink never installs anything",
        value=False,
    ),
    NO_INSTALLATION,
)


def main() -> None:
    """Run ``flower-superlink`` and exit with its status."""
    sys.exit(run(sys.argv[1:]))


class _CertificatesError(SettingsError):
    """TLS cannot be served with the certificates."""


_CODES: dict[type[FlwrError], int] = {  # the first that fits
    AddressError: exitblock.ADDRESS_INVALID,
    _CertificatesError: exitblock.SERVER_CERTIFICATES_INVALID,
    SettingsError: exitblock.SUPERLINK_INVALID_ARGS,
    DatabaseDamagedError: exitblock.SUPERLINK_DATABASE_SCHEMA_MISMATCH,
    DatabaseNewerError: exitblock.SUPERLINK_DATABASE_SCHEMA_MISMATCH,
}


def run(arguments: Sequence[str]) -> int:
    """Serve as the arguments say; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = read_settings(options)
        _log_to_file(options)
        from flwr.superlink.serve import run_superlink

        return exit_block(_BY_SIGNAL[run_superlink(settings)])
    except FlwrError as error:
        if isinstance(error, StoreError):
            error.hint = "Give another file with --database, or mend that one; it is left as it is."
        for kind, code in _CODES.items():
            if isinstance(error, kind):
                return exit_block(code, str(error))
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code


def read_settings(options: argparse.Namespace) -> Settings:
    """Return what the options ask for.

    Raises
    ------
    SettingsError
        If they contradict each other, or promise what is not there.
    AddressError
        If an address cannot be read.
    """
    judge_options(options, INERT, REFUSED)
    if options.fleet_api_type:
        log(
            WARNING,
            "--fleet-api-type %s has no effect%s: nodes are served over HTTP, whatever the type.",
            options.fleet_api_type,
            f" but the default port {REST_PORT}" if options.fleet_api_type == "rest" else "",
        )
    database = _database(options.database)
    return Settings(
        ports=_ports(options),
        state_dir=state_dir(),
        tls=_tls(options),
        database=database,
        isolation=Isolation(options.isolation),
        simulation=_is_simulation(options),
        app_patience=options.app_max_wait_time,
        simulation_options=parse_config_args(options.executor_config, option="--executor-config"),
    )


def _database(given: str) -> Path | None:
    if given in IN_MEMORY:
        return None
    path = database_file(given, os.environ.get(STATE_DIR_VARIABLE, ""))
    require_writable(path)
    return path


def _tls(options: argparse.Namespace) -> ServerTls | None:
    names = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certfile")
    given = [name for name in names if getattr(options, name)]
    if options.insecure:
        if given:
            raise SettingsError(
                f"--insecure and {_flag(given[0])} contradict each other.",
                hint="Leave --insecure out to serve TLS, or the certificates to serve plain HTTP.",
            )
        log(
            WARNING, "--insecure: links are not encrypted. Whoever is on the network can read them."
        )
        return None
    if len(given) < len(names):
        lacking = ", ".join(_flag(name) for name in names if name not in given)
        raise SettingsError(
            f"TLS needs a certificate, its key and the CA's certificate; missing: {lacking}.",
            hint="Give all three, or --insecure to serve without encryption.",
        )
    tls = ServerTls(*(Path(getattr(options, name)).expanduser() for name in names))
    try:
        tls.check()
    except SettingsError as error:
        raise _CertificatesError(error.message, hint=error.hint) from error
    return tls


def _ports(options: argparse.Namespace) -> tuple[Port, ...]:
    """Return where to listen: each protocol at a port of its own, or all at ``--host/--port``."""
    together = options.host is not None or options.port is not None
    ports = []
    if together:
        port = HTTP_PORT if options.port is None else options.port
        ports.append(Port(Address(options.host or "127.0.0.1", port), ALL))
    rest = options.fleet_api_type == "rest"
    for service, text, default in (
        (Service.APP, options.serverappio_api_address, APP_PORT),
        (Service.FLEET, options.fleet_api_address, REST_PORT if rest else FLEET_PORT),
        (Service.CONTROL, options.control_api_address, CONTROL_PORT),
    ):
        if text is not None:
            ports.append(Port(parse(text, default), (service,)))
        elif not together:
            ports.append(Port(Address("0.0.0.0", default), (service,)))  # noqa: S104 - documented
    if options.simulationio_api_address is not None:
        address = parse(options.simulationio_api_address, SIMULATION_PORT)
        ports.append(Port(address, (Service.APP,)))
    if options.health_server_address is not None:
        ports.append(Port(parse(options.health_server_address), ()))
    return tuple(ports)


def _is_simulation(options: argparse.Namespace) -> bool:
    if options.executor is not None and options.executor not in EXECUTORS:
        raise SettingsError(
            f"There is no executor '{options.executor}'.",
            hint=f"There are: {', '.join(EXECUTORS)}.",
        )
    simulation = options.simulation or options.executor == SIMULATION_EXECUTOR
    if options.executor_config and not simulation:
        raise SettingsError(
            "--executor-config sets options of simulations, and this SuperLink runs none.",
            hint="Add --simulation, or leave it out.",
        )
    return bool(simulation)


def _log_to_file(options: argparse.Namespace) -> None:
    if options.log_file is None:
        return
    try:
        Path(options.log_file).absolute().parent.mkdir(parents=True, exist_ok=True)
        handler = TimedRotatingFileHandler(
            options.log_file,
            when="H",
            interval=options.log_rotation_interval_hours,
            backupCount=options.log_rotation_backup_count,
        )
    except OSError as error:
        raise SettingsError(f"--log-file {options.log_file}: {error.strerror}.") from error
    handler.setFormatter(file_formatter())
    handler.setLevel(INFO)
    FLOWER_LOGGER.addHandler(handler)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flower-superlink",
        description="Start a SuperLink: the hub between SuperNodes, app processes, and flwr.",
    )
    add = parser.add_argument
    version = f"Flower version: {__version__}"
    add("-V", "--version", action="version", version=version, help="Print the version.")
    _add_links(parser)
    add(
        "--isolation", choices=[mode.value for mode in Isolation], default="subprocess",
        help="Start the app processes of runs (subprocess, the default), or leave it to "
        "flower-superexec and flwr-serverapp (process).",
    )  # fmt: skip
    add(
        "--database", metavar="PATH", default=IN_MEMORY[0],
        help="Keep runs, nodes, messages and apps in this SQLite file, which is created if it is "
        "missing and taken up if it is there. A name without a slash is taken in FLWR_STATE_DIR, "
        "if that is set. By default everything is gone at exit.",
    )  # fmt: skip
    add(
        "--app-max-wait-time", type=seconds, default=PATIENCE, metavar="SECONDS",
        help="How long app processes that this SuperLink starts go on trying while it is away, by "
        "default %(default)g.",
    )  # fmt: skip
    add("--simulation", action="store_true", help="Runs are simulations: no SuperNodes take part.")
    add("--executor", metavar="NAME", help=f"{' or '.join(EXECUTORS)} (the same as --simulation).")
    add(
        "--executor-config", metavar="KEY=VALUE", action="append",
        help="Options of simulations, such as 'num-supernodes=20'.",
    )  # fmt: skip
    add("--log-file", metavar="PATH", help="Also log to this file, which is rotated.")
    add(
        "--log-rotation-interval-hours", type=positive, default=24, metavar="HOURS",
        help="By default 24.",
    )  # fmt: skip
    add(
        "--log-rotation-backup-count", type=positive, default=7, metavar="N",
        help="How many old log files are kept, by default 7.",
    )  # fmt: skip
    add_options(parser, INERT, REFUSED)
    return parser


def _add_links(parser: argparse.ArgumentParser) -> None:
    links = parser.add_argument_group("links")
    add = links.add_argument
    add("--insecure", action="store_true", help="Serve without TLS.")
    add("--ssl-certfile", metavar="PEM", help="The server's certificate.")
    add("--ssl-keyfile", metavar="PEM", help="Its private key.")
    add("--ssl-ca-certfile", metavar="PEM", help="The certificate of the CA that signed it.")
    add(
        "--serverappio-api-address", metavar="HOST:PORT",
        help=f"Where app processes connect, by default 0.0.0.0:{APP_PORT}.",
    )  # fmt: skip
    add(
        "--fleet-api-address", metavar="HOST:PORT",
        help=f"Where SuperNodes connect, by default 0.0.0.0:{FLEET_PORT}.",
    )  # fmt: skip
    add(
        "--control-api-address", "--exec-api-address", dest="control_api_address",
        metavar="HOST:PORT", help=f"Where flwr connects, by default 0.0.0.0:{CONTROL_PORT}.",
    )  # fmt: skip
    add(
        "--simulationio-api-address", metavar="HOST:PORT",
        help=f"A further address for app processes, at port {SIMULATION_PORT} if none is named.",
    )  # fmt: skip
    add(
        "--host", metavar="HOST",
        help="Serve everything on one port of this host instead, by default 127.0.0.1.",
    )  # fmt: skip
    add("--port", type=port, metavar="PORT", help="That port, by default 8000.")
    add(
        "--health-server-address", metavar="HOST:PORT",
        help="Answer GET /health there too, without TLS.",
    )  # fmt: skip
    add(
        "--fleet-api-type", choices=["grpc-rere", "grpc-adapter", "rest"],
        help="Has no effect but that of 'rest' on the default port, 9095: nodes use HTTP.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
