"""``flwr log``: what a run printed."""

import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from flwr.cli.arguments import AppOrConnection, ConnectionOfApp, IdleFederationConfig, RunId
from flwr.cli.output import FormatOption, OutputFormat, reporting
from flwr.cli.place import find_place
from flwr.config import Place

if TYPE_CHECKING:
    from flwr.store import RunDir

_LOOK_AGAIN = 0.1  # seconds; no portable call waits for a file to grow


def log(
    run_id: RunId,
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
    stream: Annotated[
        bool, typer.Option("--stream/--show", help="Follow a live run, or print what is there.")
    ] = True,
    federation_config: IdleFederationConfig = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Print the log of a run."""
    with reporting(output_format) as result:
        place = find_place(app, connection)
        local = place.address is None
        parts = _here(run_id, live=stream) if local else _there(place, run_id, live=stream)
        sys.stderr.write(f"{'Streaming' if stream else 'Printing'} the log of run {run_id}\n")
        if output_format is OutputFormat.JSON:
            result.update({"run-id": str(run_id), "log": "".join(parts)})
            return
        for part in parts:
            sys.stdout.write(part)
            sys.stdout.flush()


def _there(place: Place, run_id: int, *, live: bool) -> Iterator[str]:
    from flwr.cli.superlink import connected, follow_log

    with connected(place) as link:
        for part in follow_log(link, run_id, live=live):
            yield "".join(entry.text for entry in part.entries)


def _here(run_id: int, *, live: bool) -> Iterator[str]:
    folder = _find_run(run_id)
    if live:
        return _follow(folder)
    there = folder.log.exists()
    return iter([folder.log.read_text(encoding="utf-8", errors="replace")] if there else [])


def _find_run(run_id: int) -> "RunDir":
    from flwr.cli.local_store import open_store, runs_dir
    from flwr.store import RunDir

    with open_store() as store:
        store.run(run_id)
    return RunDir(runs_dir(), run_id)


def _follow(folder: "RunDir") -> Iterator[str]:
    """Yield a log until the run's process is gone and all of it has been read."""
    pause = threading.Event()
    with folder.log.open(encoding="utf-8", errors="replace") as log_file:
        alive = True
        while True:
            while text := log_file.read(1 << 16):
                yield text
            if not alive:
                return
            alive = folder.is_alive()
            if alive:
                pause.wait(_LOOK_AGAIN)
