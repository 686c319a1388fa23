"""A run in this process: loaded, recorded, shown while it goes on, and summed up."""

import contextlib
import math
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from logging import WARNING
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from flwr.cli.interrupts import Terminated, interrupts
from flwr.cli.local_store import open_store, runs_dir
from flwr.cli.place import NO_FEDERATION
from flwr.cli.tee import WorkerOutput, teed
from flwr.config import AppConfig, Place, SimulationOptions, UserConfig, differing_types
from flwr.errors import FlwrError, RunFailedError
from flwr.log import log, update_console_handler

if TYPE_CHECKING:
    from flwr.app.events import Event
    from flwr.runtime.launch import ZygoteHandle
    from flwr.simulation.capacity import ClientResources
    from flwr.store import Run, RunDir, Store

_INIT_ARGS = {"num_cpus", "num_gpus"}  # others are Ray's own
ARTIFACTS_VARIABLE = "FLWR_ARTIFACTS_DIR"  # tells apps, and the helper they call, the folder


@dataclass(frozen=True)
class LocalRun:
    """What is to be run, and how.

    Attributes
    ----------
    app : AppConfig
        The app.
    place : Place
        Who chose that it runs here.
    options : SimulationOptions
        Of the simulation.
    run_config, overrides : dict
        All settings, and those given on the command line.
    debug : bool
        Clients run in this process.
    fresh_database : bool
        A damaged database is put aside.
    to_stderr : bool
        Leave stdout to others.
    """

    app: AppConfig
    place: Place
    options: SimulationOptions
    run_config: UserConfig
    overrides: UserConfig
    debug: bool
    fresh_database: bool
    to_stderr: bool


def run_in_place(request: LocalRun, result: dict[str, Any]) -> None:
    """Run an app to its end.

    Parameters
    ----------
    request : LocalRun
        What to run.
    result : dict
        Filled with what is to be said as JSON.

    Raises
    ------
    RunFailedError
        If the run failed; names the first cause.
    KeyboardInterrupt
        If it was interrupted; says how far it came.
    """
    with contextlib.ExitStack() as stack:
        # Workers import the app while this process imports the database.
        workers = None if request.debug else _start_workers(request, stack)
        from flwr.store import NewRun, RunDir, RunEvent, new_run_id

        run_id = new_run_id()
        store = stack.enter_context(open_store(fresh=request.fresh_database))
        folder = stack.enter_context(RunDir.create(runs_dir(), run_id))
        os.environ[ARTIFACTS_VARIABLE] = str(folder.artifacts)
        app = request.app
        interrupts.hold()  # from here to the end, but for the app itself: the record is to be kept
        store.create_run(
            NewRun(
                run_id=run_id,
                fab_id=app.fab_id,
                fab_version=app.version,
                fab_hash="",
                federation=request.place.name or NO_FEDERATION,
                app_dir=str(app.app_dir),
                run_config=request.run_config,
                options={
                    "num-supernodes": request.options.num_supernodes,
                    "client-resources-num-cpus": request.options.num_cpus,
                    "client-resources-num-gpus": request.options.num_gpus,
                },
            )
        )
        run = store.move(run_id, RunEvent.START)
        course = _Course(request, store, run, folder, workers)
        error = course.take()
        store.flush()
        result.update(course.as_json())
        if error is not None:
            course.raise_failure(error)


@dataclass
class _Workers:
    """Workers that are being started, and the pipe that they print into."""

    zygote: "ZygoteHandle"
    output: WorkerOutput


def _start_workers(request: LocalRun, stack: contextlib.ExitStack) -> _Workers:
    from flwr.simulation.engine import AppReference, start_workers_early

    output = WorkerOutput()
    stack.callback(output.close)
    zygote = start_workers_early(
        AppReference(request.app.clientapp, request.app.app_dir),
        resources=_resources(request.options),
        output=output.descriptor,
    )
    stack.callback(zygote.close)
    return _Workers(zygote, output)


def _resources(options: SimulationOptions) -> "ClientResources":
    from flwr.simulation.capacity import ClientResources

    return ClientResources(num_cpus=options.num_cpus, num_gpus=options.num_gpus)


class _Course:
    """The way of one run, from its first line to its summary."""

    def __init__(
        self,
        request: LocalRun,
        store: "Store",
        run: "Run",
        folder: "RunDir",
        workers: _Workers | None,
    ) -> None:
        from flwr.cli.history import History

        self.request = request
        self.store = store
        self.run = run
        self.log = folder.log
        self.artifacts = folder.artifacts
        self.workers = workers
        self.history = History()
        self.ended = False
        self.warnings: list[str] = []

    def take(self) -> BaseException | None:
        """Run the app and sum up; return what ended it early, if anything did."""
        from flwr.cli.progress import progress

        with self.log.open("a", buffering=1, encoding="utf-8", errors="replace") as file:
            with self._teed(file):
                sys.stdout.write(_first_line(self.request, self.run.run_id) + "\n")
                sys.stdout.flush()
            shown = progress(self.history, debug=self.request.debug)
            try:
                with self._teed(file):
                    error = self._execute(shown.show)
            finally:
                shown.close()
            self._record_end(error)
            if error is not None and not isinstance(error, KeyboardInterrupt):
                traceback.print_exception(error, file=file)
            with self._teed(file):
                try:
                    self._sum_up()
                except Exception as fault:  # it changes nothing about how the run ended
                    log(WARNING, "The summary could not be made: %s", _cause(fault))
        return error

    def raise_failure(self, error: BaseException) -> NoReturn:
        """Raise what tells the user how the run ended early.

        Raises
        ------
        KeyboardInterrupt
            If the user ended it.
        RunFailedError
            Otherwise.
        """
        run_id = self.run.run_id
        if isinstance(error, KeyboardInterrupt):
            done = len(self.history.finished_rounds)
            of = f" of {self.history.planned}" if self.history.planned else ""
            message = f"Interrupted after {done}{of} rounds: run {run_id} is finished:stopped."
            kind = Terminated if isinstance(error, Terminated) else KeyboardInterrupt
            raise kind(message) from error
        from flwr.runtime.diagnosis import diagnose
        from flwr.runtime.facts import Facts

        details = _cause(error, self.request.app.app_dir)
        diagnosis = diagnose(
            Facts(run_id=run_id, state="finished:failed", details=details, told=self.history.told)
        )
        hint = [
            *diagnosis.advice,
            *differing_types(self.request.app.run_config, self.request.overrides),
            f"All it printed: flwr log {run_id} --show; the cause again: flwr why {run_id}",
        ]
        message = f"Run {run_id} failed: {diagnosis.text()}"
        failed = RunFailedError(message, hint="\n".join(hint))
        if isinstance(error, FlwrError):
            failed.exit_code = error.exit_code
        raise failed from error

    def as_json(self) -> dict[str, Any]:
        """Return what programs may want to know of the run."""
        app, run = self.request.app, self.store.run(self.run.run_id)
        last: dict[str, dict[str, float | None]] = {}
        for (source, name), points in self.history.series().items():
            value = points[-1][1]
            last.setdefault(source, {})[name] = value if math.isfinite(value) else None
        return {
            "run-id": str(run.run_id),
            "federation-id": run.federation,
            "fab-id": app.fab_id,
            "fab-name": app.name,
            "fab-version": app.version,
            "status": run.state.value,
            "rounds": len(self.history.finished_rounds),
            "failures": self.history.failures,
            "metrics": last,
            "artifacts": str(self.artifacts),
            "log": str(self.log),
        }

    def _teed(self, log: TextIO) -> contextlib.AbstractContextManager[None]:
        return teed(log, stdout=sys.stderr if self.request.to_stderr else None)

    def _execute(self, show: Callable[["Event"], None]) -> BaseException | None:
        """Load the ServerApp and run it; return what it raised, if anything."""
        if self.workers is not None:
            self.workers.output.start()
        try:
            try:
                interrupts.release()
                self._simulate(show)
            finally:
                interrupts.hold()
            self.warnings += self.history.tallies.judge()
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            # Ends the generators that the frames hold while their last events can be recorded.
            traceback.clear_frames(error.__traceback__)
            cause = _interrupt_behind(error) or error
            return None if isinstance(cause, SystemExit) and not cause.code else cause
        finally:
            self.ended = True
            if self.workers is not None:
                self.workers.zygote.close()
                self.workers.output.close()
        return None

    def _simulate(self, show: Callable[["Event"], None]) -> None:
        from flwr.runtime.load import load_component
        from flwr.runtime.runinfo import RunInfo
        from flwr.serverapp import ServerApp
        from flwr.simulation.engine import AppReference, simulate
        from flwr.store import RunEvent

        request, run_id = self.request, self.run.run_id
        app, options = request.app, request.options
        if options.verbose:
            update_console_handler(level="DEBUG", timestamps=True)
        if idle := sorted(set(options.init_args) - _INIT_ARGS):
            log(WARNING, "These init-args have no effect here: %s", ", ".join(idle))
        server_app = load_component(app.serverapp, app.app_dir, ServerApp)
        self.run = self.store.move(run_id, RunEvent.RUN)

        def listen(event: "Event") -> None:
            if self.ended:
                return  # from something that only the garbage collector ended
            self.history.add(event)
            self.store.record(run_id, event)
            show(event)

        simulate(
            server_app,
            AppReference(app.clientapp, app.app_dir),
            nodes=options.num_supernodes,
            resources=_resources(options),
            init_args=options.init_args,
            run=RunInfo(
                run_id=run_id,
                fab_id=app.fab_id,
                fab_version=app.version,
                override_config=dict(request.overrides),
                pending_at=self.run.pending_at,
                starting_at=self.run.starting_at or "",
                running_at=self.run.running_at or "",
            ),
            run_config=dict(request.run_config),
            listener=listen,
            debug=request.debug,
            zygote=None if self.workers is None else self.workers.zygote,
            environment={ARTIFACTS_VARIABLE: str(self.artifacts)},
        )

    def _record_end(self, error: BaseException | None) -> None:
        from flwr.app.events import RunFinished
        from flwr.store import RunEvent

        event, cause = RunEvent.COMPLETE, ""
        if isinstance(error, KeyboardInterrupt):
            by = "SIGTERM" if isinstance(error, Terminated) else "Ctrl-C"
            event, cause = RunEvent.STOP, f"Interrupted by {by}"
        elif error is not None:
            event, cause = RunEvent.FAIL, _cause(error, self.request.app.app_dir)
        self.run = self.store.move(self.run.run_id, event, cause.partition("\n")[0])
        self.store.record(self.run.run_id, RunFinished(self.run.state.value, cause))

    def _sum_up(self) -> None:
        from flwr.cli.summary import print_summary

        title = f"{self.request.app.name}, run {self.run.run_id}"
        print_summary(self.history, self.artifacts, str(self.log), title)
        for warning in self.warnings:
            log(WARNING, warning)


def _interrupt_behind(error: BaseException) -> KeyboardInterrupt | None:
    """Return the interrupt that an error came from, such as one of the app's own clearing up."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, KeyboardInterrupt):
        behind = behind.__cause__ or behind.__context__
    return behind


def _cause(error: BaseException, app_dir: Path | None = None) -> str:
    """Return what ended a run: our own errors as they are, others with their place in the app."""
    from flwr.runtime.load import describe

    if isinstance(error, SystemExit):
        return f"the app called sys.exit({error.code!r})"
    return str(error) if isinstance(error, FlwrError) else describe(error, app_dir)


def _first_line(request: LocalRun, run_id: int) -> str:
    """Return where a run takes place, and with how many nodes."""
    place, nodes = request.place, request.options.num_supernodes
    where = f"'{place.name}', {place.why}" if place.name else place.why
    line = f"Successfully started run {run_id} in place ({where}): {nodes} nodes"
    if request.options.configured:
        return line
    return (
        f"{line} (to have more or fewer, set options.num-supernodes of a federation in "
        "pyproject.toml, or --federation-config num-supernodes=N)"
    )
