"""The process of one attempt of a run: what a ServerApp's and a simulation's have in common."""

import argparse
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from flwr.config import AppConfig, home, state_dir
from flwr.errors import (
    AppExitError,
    AppLoadError,
    FabError,
    FlwrError,
    LinkError,
    RefusedError,
    TlsError,
    UnreachableError,
)
from flwr.log import log
from flwr.runtime import fab
from flwr.runtime.appfolders import lease
from flwr.runtime.capture import Capture
from flwr.runtime.load import describe
from flwr.runtime.reporter import Reporter
from flwr.runtime.runinfo import RunInfo, RunStatus
from flwr.transport import appio
from flwr.transport.call import Refusal
from flwr.transport.client import Link
from flwr.transport.parts import Body, Nothing, RunQuestion, RunSheet
from flwr.transport.tls import ClientTls

PATIENCE = 600.0  # seconds: as long as a hub may take to come back
ARTIFACTS_VARIABLE = "FLWR_ARTIFACTS_DIR"
APP_RAISED, APP_LOAD_FAILED = 201, 607  # documented exit codes
SIGNALLED = 128  # and the signal's number: the status of a process that a signal ended

_OVER = (Refusal.RUN_ENDED, Refusal.SUPERSEDED)
_STUBBORN_SECONDS = 5.0  # that an app may take to clear up when its run is over


@dataclass(frozen=True)
class LaunchFacts:
    """Where the hub is, and by what it knows this attempt.

    Attributes
    ----------
    address : str
        ``host:port`` of its AppIo API.
    token : str
        Of this attempt of this run.
    tls : ClientTls or None
        Whom to believe; None for plain HTTP.
    patience : float
        Seconds for which to go on trying while the hub is away.
    """

    address: str
    token: str
    tls: ClientTls | None = None
    patience: float = PATIENCE

    @classmethod
    def read(cls, descriptor: int) -> "LaunchFacts | None":
        """Read what a launcher writes into a pipe; None if it wrote nothing."""
        with os.fdopen(descriptor, "rb") as pipe:
            content = pipe.read()
        if not content:
            return None
        told = json.loads(content)
        path = told.get("root_certificates")
        insecure = told.get("insecure", path is None)
        name = told.get("server_name", "")
        tls = None if insecure else ClientTls(None if path is None else Path(path), name)
        return cls(told["address"], told["token"], tls, told.get("patience", PATIENCE))

    def written(self) -> bytes:
        """Return what `read` reads."""
        path = None if self.tls is None else self.tls.root_certificates
        return json.dumps(
            {
                "address": self.address,
                "token": self.token,
                "root_certificates": None if path is None else str(path.absolute()),
                "server_name": "" if self.tls is None else self.tls.server_name,
                "insecure": self.tls is None,
                "patience": self.patience,
            }
        ).encode()

    def link(self) -> Link:
        """Return a link to the hub."""
        return Link(self.address, tls=self.tls, token=self.token, patience=self.patience)


@dataclass
class Attempt:
    """What the work of an attempt is done with.

    Attributes
    ----------
    link : Link
        To the hub.
    inputs : Inputs
        What the hub told.
    reporter : Reporter
        Takes events.
    context : Callable or None
        Set by the work: gives the final context.
    """

    link: Link
    inputs: appio.Inputs
    reporter: Reporter
    context: Callable[[], Body] | None = None

    def app(self) -> AppConfig:
        """Fetch the app, unless it is there, and say where it lies; it stays to the end.

        Raises
        ------
        FabError, ConfigError
            If it is none.
        """
        fetched = self.link.call(appio.FAB, RunQuestion(self.inputs.sheet.run_id))
        if fab.fab_hash_of(fetched.content) != self.inputs.sheet.fab_hash:
            raise FabError("The app that the SuperLink gave is another one than that of the run.")
        return lease(fetched.content, home() / "apps").app

    def artifacts(self) -> Path:
        """Return the folder for the run's artifacts, and tell it to the app."""
        folder = state_dir() / "runs" / str(self.inputs.sheet.run_id) / "artifacts"
        os.environ[ARTIFACTS_VARIABLE] = str(folder)
        return folder


class _Interrupted(KeyboardInterrupt):
    """A signal came, or the run is over."""


def main(work: Callable[[Attempt], None], arguments: Sequence[str]) -> int:
    """Take part in a run as the arguments of a launcher say; return the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--launch-fd", type=int, required=True)
    facts = LaunchFacts.read(parser.parse_args(arguments).launch_fd)
    return 0 if facts is None else take_part(facts, work)


def take_part(facts: LaunchFacts, work: Callable[[Attempt], None]) -> int:
    """Do the work of one attempt, and end the run.

    Parameters
    ----------
    facts : LaunchFacts
        As the launcher told.
    work : callable
        Does it; what it raises is why the run failed.

    Returns
    -------
    int
        The exit status: 0 if the hub knows how the run ended, also if it ended it itself. Any
        other says that this attempt has died and another one may follow.
    """
    with facts.link() as link, _interruptible() as interrupt:
        reporter = Reporter(link, interrupt)
        capture = Capture(reporter.write)
        try:
            finish = _outcome(link, reporter, work)
        except _Interrupted as interrupted:
            interrupt.hold()  # of the two ways to hear of an end, the other may come now
            capture.close()
            return int(interrupted.args[0])
        except LinkError as error:
            interrupt.hold()
            return _without_link(error, capture)
        interrupt.hold()
        capture.close()
        reporter.close()
        try:
            link.call(appio.FINISH, finish)
        except RefusedError as error:
            return 0 if error.code in _OVER else 1
        except UnreachableError as error:
            log(logging.ERROR, "%s", error)
            return 1
    return 0


def _outcome(link: Link, reporter: Reporter, work: Callable[[Attempt], None]) -> appio.Finish:
    """Do the work; return how the run ended."""
    attempt = Attempt(link, link.call(appio.INPUTS, Nothing()), reporter)
    try:
        try:
            work(attempt)
        except SystemExit as error:
            if error.code:
                raise
    except (_Interrupted, UnreachableError, TlsError):
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if isinstance(error, RefusedError) and error.code in _OVER:
            raise
        traceback.print_exception(error)
        cause = cause_of(error)
        return appio.Finish("failed", cause.splitlines()[0], exit_code_of(error))
    context = None if attempt.context is None else attempt.context()
    return appio.Finish("completed", context=context)


def cause_of(error: BaseException) -> str:
    """Return what ended a run: our own errors as they are, others with their place in the app."""
    if isinstance(error, SystemExit):
        return f"the app called sys.exit({error.code!r})"
    return str(error) if isinstance(error, FlwrError) else describe(error)


def exit_code_of(error: BaseException) -> int:
    """Return the documented code of what ended a run."""
    if isinstance(error, AppLoadError):
        return APP_LOAD_FAILED
    if isinstance(error, AppExitError) or not isinstance(error, FlwrError):
        return error.exit_code if isinstance(error, AppExitError) else APP_RAISED
    return error.exit_code


def info_of(sheet: RunSheet) -> RunInfo:
    """Return what an app may know of its run."""
    return RunInfo(
        run_id=sheet.run_id,
        fab_id=sheet.fab_id,
        fab_version=sheet.fab_version,
        fab_hash=sheet.fab_hash,
        override_config=dict(sheet.override_config),
        pending_at=sheet.pending_at,
        starting_at=sheet.starting_at,
        running_at=sheet.running_at,
        finished_at=sheet.finished_at,
        status=RunStatus(sheet.status, sheet.sub_status, sheet.details),
    )


def _without_link(error: LinkError, capture: Capture) -> int:
    """Say why an attempt ends without the hub; return the exit status."""
    over = isinstance(error, RefusedError) and error.code in _OVER
    if not over:
        log(logging.ERROR, "%s", error)
    capture.close()
    return 0 if over else 1


class _Interrupt:
    """Ends the app in the main thread, for a signal or because the run is over."""

    def __init__(self) -> None:
        self._held = False
        self._main = threading.get_ident()
        self._over = threading.Event()

    def __call__(self, error: LinkError | None) -> None:
        """End the app: nothing more can be told to the hub."""
        if self._held:
            return
        refused = error is None or (isinstance(error, RefusedError) and error.code in _OVER)
        if not refused:
            return  # the app's own calls will say so
        self._over.set()
        threading.Thread(target=self._insist, name="flwr-end", daemon=True).start()
        signal.pthread_kill(self._main, signal.SIGTERM)

    def hold(self) -> None:
        """Let the process end in peace."""
        self._held = True

    def arrive(self, number: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        if not self._held:
            raise _Interrupted(0 if self._over.is_set() else SIGNALLED + number)

    def _insist(self) -> None:
        threading.Event().wait(_STUBBORN_SECONDS)
        os._exit(0)


@contextmanager
def _interruptible() -> Iterator[_Interrupt]:
    interrupt = _Interrupt()
    former = {
        number: signal.signal(number, interrupt.arrive)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield interrupt
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        sys.stdout.flush()
