"""``flwr log``: what a run printed."""

import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from flwr.cli.output import OutputFormat, reporting
from flwr.cli.place import find_place
from flwr.config import Place

if TYPE_CHECKING:
    from flwr.store import RunDir

_LOOK_AGAIN = 0.1  # seconds; no portable call waits for a file to grow


def log(
    run_id: Annotated[int, typer.Argument(help="The run's id, as `flwr ls` shows it.")],
    app: Annotated[
        str | None, typer.Argument(help="A connection, or an app's folder before one.")
    ] = None,
    connection: Annotated[
        str | None, typer.Argument(help="A connection, or a federation of the app.")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream/--show", help="Follow a live run, or print what is there.")
    ] = True,
) -> None:
    """Print the log of a run."""
    with reporting(OutputFormat.DEFAULT):
        place = find_place(app, connection)
        if place.address is not None:
            _print_remote(place, run_id, live=stream)
            return
        folder = _find_run(run_id)
        _say(run_id, live=stream)
        if stream:
            _follow(folder)
        elif folder.log.exists():
            sys.stdout.write(folder.log.read_text(encoding="utf-8", errors="replace"))


def _say(run_id: int, *, live: bool) -> None:
    sys.stderr.write(f"{'Streaming' if live else 'Printing'} the log of run {run_id}\n")


def _print_remote(place: Place, run_id: int, *, live: bool) -> None:
    from flwr.cli.superlink import connected, follow_log

    with connected(place) as link:
        parts = follow_log(link, run_id, live=live)
        _say(run_id, live=live)
        for part in parts:
            for entry in part.entries:
                sys.stdout.write(entry.text)
            sys.stdout.flush()


def _find_run(run_id: int) -> "RunDir":
    from flwr.cli.local_store import open_store, runs_dir
    from flwr.store import RunDir

    with open_store() as store:
        store.run(run_id)
    return RunDir(runs_dir(), run_id)


def _follow(folder: "RunDir") -> None:
    """Print a log until the run's process is gone and all of it has been printed."""
    pause = threading.Event()
    with folder.log.open(encoding="utf-8", errors="replace") as log_file:
        alive = True
        while True:
            while text := log_file.read(1 << 16):
                sys.stdout.write(text)
            sys.stdout.flush()
            if not alive:
                return
            alive = folder.is_alive()
            if alive:
                pause.wait(_LOOK_AGAIN)
