"""What the commands that run app processes share: their options, and their end."""

import argparse
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flwr._version import __version__
from flwr.cli import exitblock
from flwr.cli.exitblock import exit_block
from flwr.cli.optionvalues import seconds
from flwr.cli.otherversions import (
    NO_INSTALLATION,
    Inert,
    Refused,
    RefusedOptionError,
    add_options,
    judge_options,
)
from flwr.errors import AddressError, FlwrError, LinkError, RefusedError
from flwr.log import log
from flwr.runtime.appprocess import PATIENCE, Attempt, LaunchFacts, take_part
from flwr.runtime.superexec import Launcher
from flwr.transport.address import parse
from flwr.transport.call import Refusal
from flwr.transport.tls import ClientTls

APP_PORT, CLIENTAPP_PORT = 9091, 9094
HERE = "127.0.0.1"
Work = Callable[[Attempt], None]
Serve = Callable[[], int]
BY_SIGNAL = {signal.SIGINT: exitblock.SIGINT, signal.SIGTERM: exitblock.SIGTERM}
INERT = (NO_INSTALLATION,)


@dataclass(frozen=True)
class Program:
    """A command that runs app processes.

    Attributes
    ----------
    name, description : str
        For ``--help``.
    addresses : tuple of str
        The names of the option for the address of the other side.
    inert, refused
        Its options of other versions.
    port : int
        Of the other side, by default.
    """

    name: str
    description: str
    addresses: tuple[str, ...]
    inert: tuple[Inert, ...] = INERT
    refused: tuple[Refused, ...] = ()
    port: int = APP_PORT


def parser_of(program: Program) -> argparse.ArgumentParser:
    """Return a parser with the options that all have."""
    parser = argparse.ArgumentParser(
        prog=program.name, description=program.description, allow_abbrev=False
    )
    other = "SuperNode" if program.port == CLIENTAPP_PORT else "SuperLink"
    add = parser.add_argument
    add("-V", "--version", action="version", version=f"Flower version: {__version__}")
    add(
        *program.addresses,
        dest="address",
        metavar="HOST:PORT",
        help=f"the {other}'s API for app processes (default: {HERE}:{program.port})",
    )
    add("--insecure", action="store_true", help="connect without TLS")
    add(
        "--root-certificates",
        type=Path,
        metavar="PEM",
        help="certificates to trust instead of the system's",
    )
    add(
        "--max-wait-time",
        type=seconds,
        default=PATIENCE,
        metavar="SECONDS",
        help=f"how long to go on trying while the {other} is away; inf: for ever "
        "(default: %(default)g)",
    )
    add("--parent-pid", type=int, metavar="PID", help="end when this process does")
    add("--flwr-dir", type=Path, metavar="DIR", help="use this as FLWR_HOME")
    add_options(parser, program.inert, program.refused)
    return parser


def add_single_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that run one process after the other, or one given one."""
    add = parser.add_argument
    add("--run-once", action="store_true", help="end after one run")
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token", help="run the attempt that has this token, and end")
    token.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="likewise; a token on the command line can be seen by others",
    )


def run_single(arguments: Sequence[str], program: Program, kind: str, work: Work) -> int:
    """Do what the options of a command for one kind of process say; return the exit status."""
    parser = parser_of(program)
    add_single_options(parser)
    given = parser.parse_args(arguments)

    def serve() -> int:
        end_with_parent(given)
        facts = facts_of(given)
        if facts.token:
            return take_part(facts, work)
        return launch(Launcher(facts, [kind], most=1, once=given.run_once))

    return guarded(given, program, serve)


def facts_of(given: argparse.Namespace) -> LaunchFacts:
    """Return how to reach the hub; the token is empty if none is given."""
    address = str(parse(given.address or HERE, APP_PORT))
    return LaunchFacts(address, _token(given), trust_of(given), given.max_wait_time)


def trust_of(given: argparse.Namespace) -> ClientTls | None:
    """Return whom to believe.

    Raises
    ------
    OSError
        If the root certificates cannot be read.
    SettingsError
        If they are none.
    """
    if given.insecure:
        return None
    tls = ClientTls(given.root_certificates)
    if given.root_certificates is not None:
        given.root_certificates.open("rb").close()
    tls.context()
    return tls


def launch(launcher: Launcher) -> int:
    """Run a launcher until it has done its work or a signal comes; return the exit status."""
    came: list[signal.Signals] = []

    def arrive(number: int, _frame: object) -> None:
        came.append(signal.Signals(number))
        threading.Thread(target=launcher.stop, daemon=True).start()

    for number in BY_SIGNAL:
        signal.signal(number, arrive)
    launcher.run()
    return exit_block(BY_SIGNAL[came[0]]) if came else 0


def guarded(given: argparse.Namespace, program: Program, serve: Serve) -> int:
    """Serve; say why it ended if it did so badly. Return the exit status."""
    if given.insecure and given.root_certificates is not None:
        return exit_block(exitblock.ROOT_CERTIFICATES_INCOMPATIBLE)
    if given.flwr_dir is not None:
        os.environ["FLWR_HOME"] = str(given.flwr_dir)
    try:
        judge_options(given, program.inert, program.refused)
        return serve()
    except OSError as error:
        return exit_block(exitblock.PATH_INVALID, str(error))
    except FlwrError as error:
        return _end(error, program)


def _end(error: FlwrError, program: Program) -> int:
    """Say what ended a process; return the exit status."""
    if isinstance(error, AddressError):
        return exit_block(exitblock.ADDRESS_INVALID, str(error))
    if isinstance(error, RefusedOptionError):
        return exit_block(error.number, str(error))
    if isinstance(error, RefusedError) and error.code == Refusal.VERSION:
        return exit_block(exitblock.VERSION_INCOMPATIBLE, str(error))
    if isinstance(error, LinkError) and program.port == CLIENTAPP_PORT:
        return exit_block(exitblock.CLIENTAPP_COMMUNICATION_ERROR, str(error))
    log(logging.ERROR, "%s", error)
    return error.exit_code


def _token(given: argparse.Namespace) -> str:
    path: Path | None = getattr(given, "token_file", None)
    if path is not None:
        return path.read_text().strip()
    return getattr(given, "token", None) or ""


def end_with_parent(given: argparse.Namespace) -> None:
    """Have SIGTERM sent to this process when the one that ``--parent-pid`` names has ended."""
    if given.parent_pid is not None:
        threading.Thread(target=_follow, args=(given.parent_pid,), daemon=True).start()


def _follow(parent: int) -> None:
    """End this process when its parent has ended."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(parent).wait()
    os.kill(os.getpid(), signal.SIGTERM)
