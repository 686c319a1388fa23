"""A run at a SuperLink: submitted, and followed if wanted."""

import math
import secrets
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.cli.interrupts import Terminated
from flwr.cli.place import NO_FEDERATION
from flwr.cli.streams import let_go
from flwr.cli.superlink import (
    command_text,
    connected,
    exit_code_of,
    follow_events,
    follow_log,
    place_line,
)
from flwr.config import AppConfig, Place, UserConfig, differing_types
from flwr.errors import RunFailedError
from flwr.transport.control import START_RUN, EventPart, Run, StartRun

if TYPE_CHECKING:
    from flwr.runtime.fabbuild import Fab
    from flwr.transport.client import Link

TAIL_CHARACTERS = 1 << 16  # of a log, in which a diagnosis looks for a traceback
_MOST_NAMES = 5  # of files that are left out of a FAB


@dataclass(frozen=True)
class RemoteRun:
    """What is to be run, and where.

    Attributes
    ----------
    app_dir : Path
        The app's folder.
    given : Path or None
        How the user wrote it, if at all.
    place : Place
        The SuperLink.
    federation : str
        The one there.
    overrides : dict
        Settings given on the command line.
    options : dict
        Of a simulation, given on the command line.
    stream : bool
        Follow the run to its end.
    to_stderr : bool
        Leave stdout to others.
    """

    app_dir: Path
    given: Path | None
    place: Place
    federation: str
    overrides: UserConfig
    options: dict[str, Any]
    stream: bool
    to_stderr: bool


def run_at_superlink(request: RemoteRun, result: dict[str, Any]) -> None:
    """Submit an app, and follow its run to the end if that is wanted.

    Parameters
    ----------
    request : RemoteRun
        What to run.
    result : dict
        Filled with what is to be said as JSON.

    Raises
    ------
    RunFailedError
        If the run was followed and did not complete; its exit code is the ServerApp's.
    LinkError
        If the SuperLink cannot be reached, or refuses the app.
    KeyboardInterrupt
        If following was interrupted: the run goes on.
    """
    from flwr.runtime.fabbuild import build

    fab = build(request.app_dir)
    _tell_left_out(fab)
    _say(f"{place_line(request.place)}\n", request)
    with connected(request.place) as link:
        run = _submit(link, request, fab)
        _say(f"Successfully started run {run.run_id}{_in_federation(run)}\n", request)
        result.update(_submitted_json(run, fab))
        if request.stream:
            _Following(link, request, run, fab.app).take(result)
        else:
            _say(f"Its log: {_command('log', run, request)}\n", request)


def _say(text: str, request: RemoteRun) -> None:
    out = sys.stderr if request.to_stderr else sys.stdout
    try:
        out.write(text)
        out.flush()
    except OSError as error:  # nobody reads it any more; the outcome matters all the same
        let_go(out, error)


def _submit(link: "Link", request: RemoteRun, fab: "Fab") -> Run:
    start = StartRun(
        run_id=secrets.randbits(63) or 1,
        fab=fab.content,
        overrides=dict(request.overrides),
        federation=request.federation,
        options=request.options,
    )
    try:
        return link.call(START_RUN, start)
    except KeyboardInterrupt as interrupt:
        listed = f"flwr ls --run-id {start.run_id} {request.place.name}"
        message = f"Interrupted before the SuperLink answered; whether the run started: {listed}"
        raise type(interrupt)(message) from interrupt


def _tell_left_out(fab: "Fab") -> None:
    """Say which files the SuperLink and its nodes will not have: apps miss them at run time."""
    missed = [each for each in fab.left_out if not each.path.startswith(".")]
    if missed:
        named = ", ".join(f"{each.path} ({each.why})" for each in missed[:_MOST_NAMES])
        more = f", and {len(missed) - _MOST_NAMES} more" if len(missed) > _MOST_NAMES else ""
        sys.stderr.write(f"Not sent with the app: {named}{more}\n")


def _in_federation(run: Run) -> str:
    return "" if run.federation in ("", NO_FEDERATION) else f" in federation {run.federation}"


def _submitted_json(run: Run, fab: "Fab") -> dict[str, Any]:
    return {
        "run-id": str(run.run_id),
        "federation-id": run.federation or NO_FEDERATION,
        "fab-id": fab.app.fab_id,
        "fab-name": fab.app.name,
        "fab-version": fab.app.version,
        "fab-hash": fab.fab_hash[:8],
        "fab-filename": fab.file_name,
    }


def _command(name: str, run: Run, request: RemoteRun) -> str:
    return command_text(name, run.run_id, request.place, request.given)


class _Following:
    """A run as it is shown here while it goes on elsewhere."""

    def __init__(self, link: "Link", request: RemoteRun, run: Run, app: AppConfig) -> None:
        from flwr.cli.history import History

        self.link = link
        self.request = request
        self.run = run
        self.app = app
        self.title = f"{app.name}, run {run.run_id}"
        self.history = History()
        self.log_tail = ""
        self.fault: BaseException | None = None  # of the thread that prints the log

    def take(self, result: dict[str, Any]) -> None:
        """Show the run to its end, and sum up."""
        try:
            self._show()
        except KeyboardInterrupt as interrupt:
            kind = Terminated if isinstance(interrupt, Terminated) else KeyboardInterrupt
            raise kind(
                f"Detached: run {self.run.run_id} goes on. "
                f"Its log: {_command('log', self.run, self.request)}; "
                f"to stop it: {_command('stop', self.run, self.request)}"
            ) from interrupt
        result.update(self._as_json())
        self._sum_up()
        if code := exit_code_of(self.run):
            raise self._failure(code)

    def _show(self) -> None:
        from flwr.cli.progress import progress

        printing = threading.Thread(target=self._print_log, name="log", daemon=True)
        shown = progress(self.history, debug=False)
        try:
            printing.start()
            for part in follow_events(self.link, self.run.run_id):
                for event in _events(part):
                    self.history.add(event)
                    shown.show(event)
                self.run = part.run or self.run
            printing.join()
        finally:
            shown.close()
        if self.fault is not None:
            raise self.fault

    def _print_log(self) -> None:
        try:
            for part in follow_log(self.link, self.run.run_id):
                text = "".join(entry.text for entry in part.entries)
                self.log_tail = (self.log_tail + text)[-TAIL_CHARACTERS:]
                _say(text, self.request)
        except BaseException as fault:  # the main thread raises it
            self.fault = fault

    def _sum_up(self) -> None:
        from flwr.cli.summary import print_summary

        out = sys.stdout
        try:
            sys.stdout = sys.stderr if self.request.to_stderr else out
            print_summary(
                self.history,
                None,
                f"{_command('log', self.run, self.request)} --show",
                self.title,
            )
        finally:
            sys.stdout = out

    def _failure(self, code: int) -> RunFailedError:
        from flwr.runtime.diagnosis import diagnose
        from flwr.runtime.facts import Facts

        run = self.run
        ended = run.state.rpartition(":")[2]
        diagnosis = diagnose(
            Facts(
                run_id=run.run_id,
                state=run.state,
                details=run.details,
                told=self.history.told,
                in_place=False,
                log_tail=self.log_tail,
            )
        )
        message = f"Run {run.run_id} failed: {diagnosis.text()}"
        if ended == "stopped":
            message = "\n".join(
                [f"Run {run.run_id} was stopped: {run.details}", *diagnosis.evidence]
            )
        hint = [
            *diagnosis.advice,
            *differing_types(self.app.run_config, self.request.overrides),
            f"The cause again: {_command('why', run, self.request)}",
        ]
        failed = RunFailedError(message, hint="\n".join(hint))
        failed.exit_code = code
        return failed

    def _as_json(self) -> dict[str, Any]:
        last: dict[str, dict[str, float | None]] = {}
        for (source, name), points in self.history.series().items():
            value = points[-1][1]
            last.setdefault(source, {})[name] = value if math.isfinite(value) else None
        return {
            "status": self.run.state,
            "exit-code": self.run.exit_code,
            "rounds": len(self.history.finished_rounds),
            "failures": self.history.failures,
            "metrics": last,
        }


def _events(part: EventPart) -> "list[Any]":
    """Return the events of an answer that this version knows."""
    from flwr.store import UnknownEvent
    from flwr.store.eventrow import decode

    told = (decode(each.kind, each.body) for each in part.events)
    return [event for event in told if not isinstance(event, UnknownEvent)]
