"""What the commands that run app processes share: their options, and their end."""

import argparse
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from flwr._version import __version__
from flwr.cli.exitblock import exit_block
from flwr.errors import AddressError, FlwrError, RefusedError, SettingsError
from flwr.log import log
from flwr.runtime.appprocess import PATIENCE, Attempt, LaunchFacts, take_part
from flwr.runtime.superexec import Launcher
from flwr.transport.address import parse
from flwr.transport.call import Refusal
from flwr.transport.tls import ClientTls

APP_PORT = 9091
Work = Callable[[Attempt], None]
Serve = Callable[[], int]
_ADDRESS_INVALID, _PATH_INVALID, _VERSION_INCOMPATIBLE = 600, 604, 606
_SIGNALS = {signal.SIGINT: 1, signal.SIGTERM: 3}  # the documented codes of a clean end


def parser_of(program: str, description: str, addresses: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser with the options that all have.

    Parameters
    ----------
    program, description : str
        For ``--help``.
    addresses : sequence of str
        The names of the option for the hub's address.
    """
    parser = argparse.ArgumentParser(prog=program, description=description, allow_abbrev=False)
    add = parser.add_argument
    add("-V", "--version", action="version", version=f"Flower version: {__version__}")
    add(
        *addresses,
        dest="address",
        default=f"127.0.0.1:{APP_PORT}",
        metavar="HOST:PORT",
        help="the SuperLink's API for app processes (default: %(default)s)",
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
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="how long to go on trying while the SuperLink is away (default: %(default)g)",
    )
    add("--parent-pid", type=int, metavar="PID", help="end when this process does")
    add("--flwr-dir", type=Path, metavar="DIR", help="use this as FLWR_HOME")
    add(
        "--allow-runtime-dependency-installation",
        action="store_true",
        help="no meaning: install what apps need",
    )
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


def run_single(given: argparse.Namespace, kind: str, work: Work) -> int:
    """Do what the options of a command for one kind of process say; return the exit status."""

    def serve() -> int:
        facts = facts_of(given)
        if facts.token:
            return take_part(facts, work)
        return launch(Launcher(facts, [kind], most=1, once=given.run_once))

    return guarded(given, serve)


def facts_of(given: argparse.Namespace) -> LaunchFacts:
    """Return how to reach the hub; the token is empty if none is given."""
    if given.insecure and given.root_certificates is not None:
        raise SettingsError("--insecure and --root-certificates exclude each other.")
    tls = None if given.insecure else ClientTls(given.root_certificates)
    address = str(parse(given.address, APP_PORT))
    return LaunchFacts(address, _token(given), tls, given.max_wait_time)


def launch(launcher: Launcher) -> int:
    """Run a launcher until it has done its work or a signal comes; return the exit status."""
    came: list[signal.Signals] = []

    def arrive(number: int, _frame: object) -> None:
        came.append(signal.Signals(number))
        threading.Thread(target=launcher.stop, daemon=True).start()

    for number in _SIGNALS:
        signal.signal(number, arrive)
    launcher.run()
    return exit_block(_SIGNALS[came[0]]) if came else 0


def guarded(given: argparse.Namespace, serve: Serve) -> int:
    """Serve; say why it ended if it did so badly. Return the exit status."""
    if given.flwr_dir is not None:
        os.environ["FLWR_HOME"] = str(given.flwr_dir)
    if given.allow_runtime_dependency_installation:
        log(
            logging.WARNING,
            "--allow-runtime-dependency-installation has no meaning here: install what apps need.",
        )
    if given.parent_pid is not None:
        threading.Thread(target=_follow, args=(given.parent_pid,), daemon=True).start()
    try:
        return serve()
    except AddressError as error:
        return exit_block(_ADDRESS_INVALID, str(error))
    except RefusedError as error:
        if error.code == Refusal.VERSION:
            return exit_block(_VERSION_INCOMPATIBLE, str(error))
        log(logging.ERROR, "%s", error)
        return error.exit_code
    except OSError as error:
        return exit_block(_PATH_INVALID, str(error))
    except FlwrError as error:
        log(logging.ERROR, "%s", error)
        return error.exit_code


def _token(given: argparse.Namespace) -> str:
    path: Path | None = getattr(given, "token_file", None)
    if path is not None:
        return path.read_text().strip()
    return getattr(given, "token", None) or ""


def _follow(parent: int) -> None:
    """End this process when its parent has ended."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(parent).wait()
    os.kill(os.getpid(), signal.SIGTERM)
