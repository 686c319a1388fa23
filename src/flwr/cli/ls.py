"""``flwr ls`` (``flwr list``): the runs, newest first."""

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flwr.cli.arguments import (
    AppOrConnection,
    ConnectionOfApp,
    IdleFederationConfig,
    complete_run_ids,
)
from flwr.cli.output import (
    FormatOption,
    OutputFormat,
    bytes_text,
    console,
    duration_text,
    reporting,
    time_text,
)
from flwr.cli.place import find_place
from flwr.cli.runs import Listing, changed_at, elapsed, read_runs
from flwr.cli.tables import Column, listing_table
from flwr.config import Place

if TYPE_CHECKING:
    from rich.table import Table

    from flwr.transport.control import Run

_COLOURS = {
    "finished:completed": "green",
    "finished:failed": "red",
    "finished:stopped": "yellow",
    "starting": "blue",
    "running": "blue",
}
_COLUMNS = (
    Column("Run ID"),
    Column("Federation", fold=True, spare=4),
    Column("App", fold=True, spare=1),
    Column("Status"),
    Column("Elapsed", right=True, spare=3),
    Column("Status Changed @", split=True, spare=2),
)


def ls(
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
    runs: Annotated[bool, typer.Option("--runs", help="List all runs (the default).")] = False,
    run_id: Annotated[
        int | None,
        typer.Option("--run-id", help="Show one run in detail.", autocompletion=complete_run_ids),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Show the newest runs only.")
    ] = None,
    federation_config: IdleFederationConfig = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """List runs, newest first. `flwr ls` is the same."""
    if run_id is not None and (limit is not None or runs):
        raise typer.BadParameter("--run-id shows one run; it excludes --limit and --runs.")
    with reporting(output_format) as result:
        place = find_place(app, connection)
        say = output_format is not OutputFormat.JSON
        if say and place.address is not None:
            typer.echo(f"Using SuperLink: {place.name} ({place.address})")
        listing = read_runs(place, run_id, limit)
        result["runs"] = [_as_json(run, listing.now) for run in listing.runs]
        if not say:
            return
        if run_id is None:
            typer.echo("Listing all runs..." if listing.runs else "There are no runs yet.")
        if listing.runs:
            out = console()
            out.print(
                _run_table(listing, out.width) if run_id is None else _detail_table(listing, place),
                crop=False,
            )


def _run_table(listing: Listing, width: int) -> "Table":
    """Return the table of runs. On a narrow terminal it has fewer columns; ids are never cut."""
    from rich.text import Text

    rows: list[list[str | Text]] = [
        [
            str(run.run_id),
            run.federation,
            f"@{run.fab_id}=={run.fab_version}",
            Text(run.state, style=_COLOURS.get(run.state, "dim")),
            duration_text(elapsed(run, listing.now)),
            time_text(changed_at(run)),
        ]
        for run in listing.runs
    ]
    return listing_table(_COLUMNS, rows, width)


def _detail_table(listing: Listing, place: Place) -> "Table":
    """Return one run's facts, one a line."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    (run,) = listing.runs
    facts: dict[str, str | Text] = {
        "Run ID": str(run.run_id),
        "Federation": run.federation,
        "App": f"@{run.fab_id}=={run.fab_version}",
        "FAB Hash": f"{run.fab_hash[:8]}...{run.fab_hash[-8:]}" if run.fab_hash else "N/A",
        "Status": Text(run.state, style=_COLOURS.get(run.state, "dim")),
        "Status Details": Text(run.details or "N/A"),
        "Why": shlex.join(["flwr", "why", str(run.run_id), *filter(None, [place.name])]),
        "Rounds": f"{run.rounds_done} of {run.rounds or 'N/A'}",
        "Nodes": str(run.nodes or "N/A"),
        "Failed replies": str(run.failures),
        "Elapsed": duration_text(elapsed(run, listing.now)),
        "Pending At": time_text(run.pending_at),
        "Starting At": time_text(run.starting_at),
        "Running At": time_text(run.running_at),
        "Finished At": time_text(run.finished_at),
        "Network traffic": (
            "none: it ran in place"
            if place.address is None
            else f"{bytes_text(run.bytes_in)} from nodes, {bytes_text(run.bytes_out)} to nodes"
        ),
        "Compute Time (ClientApp)": f"{run.client_seconds:.2f}s",
    }
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def _as_json(run: "Run", now: float) -> dict[str, Any]:
    """Return one run as programs read it; ids are strings."""
    seconds = elapsed(run, now)
    return {
        "run-id": str(run.run_id),
        "federation-id": run.federation,
        "fab-id": run.fab_id,
        "fab-name": run.fab_id.rpartition("/")[2],
        "fab-version": run.fab_version,
        "fab-hash": run.fab_hash,
        "status": run.state,
        "status-details": run.details or "N/A",
        "elapsed": round(seconds, 3),
        "pending-at": time_text(run.pending_at),
        "starting-at": time_text(run.starting_at),
        "running-at": time_text(run.running_at),
        "finished-at": time_text(run.finished_at),
        "network-traffic": {
            "inbound-bytes": run.bytes_in,
            "outbound-bytes": run.bytes_out,
            "total-bytes": run.bytes_in + run.bytes_out,
        },
        "compute-time": {
            "serverapp-seconds": round(seconds, 3),
            "clientapp-seconds": round(run.client_seconds, 3),
            "total-seconds": round(seconds + run.client_seconds, 3),
        },
        "nodes": run.nodes,
        "rounds": run.rounds,
        "rounds-done": run.rounds_done,
        "failures": run.failures,
    }
