"""``flwr ls`` (``flwr list``): the runs, newest first."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flwr import clock
from flwr.cli.output import (
    FormatOption,
    OutputFormat,
    console,
    duration_text,
    reporting,
    time_text,
)
from flwr.cli.place import local_place

if TYPE_CHECKING:
    from rich.table import Table

    from flwr.store import Run

_COLOURS = {
    "finished:completed": "green",
    "finished:failed": "red",
    "finished:stopped": "yellow",
    "starting": "blue",
    "running": "blue",
}
_ROOMY, _NARROW = 110, 72  # columns of a terminal: all fits from the one on, little below the other


def ls(
    app: Annotated[
        str | None, typer.Argument(help="A connection, or an app's folder before one.")
    ] = None,
    connection: Annotated[
        str | None, typer.Argument(help="A connection, or a federation of the app.")
    ] = None,
    runs: Annotated[bool, typer.Option("--runs", help="List all runs (the default).")] = False,
    run_id: Annotated[int | None, typer.Option("--run-id", help="Show one run in detail.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Show the newest runs only.")
    ] = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """List runs, newest first."""
    if run_id is not None and (limit is not None or runs):
        raise typer.BadParameter("--run-id shows one run; it excludes --limit and --runs.")
    with reporting(output_format) as result:
        local_place(app, connection)
        found = _read_runs(run_id, limit)
        result["runs"] = [_as_json(run) for run in found]
        if output_format is OutputFormat.JSON:
            return
        if run_id is None:
            typer.echo("Listing all runs..." if found else "There are no runs yet.")
        if found:
            out = console()
            table = _run_table(found, out.width) if run_id is None else _detail_table(found[0])
            out.print(table)


def _read_runs(run_id: int | None, limit: int | None) -> "list[Run]":
    from flwr.cli.local_store import open_store

    with open_store() as store:
        return list(store.runs(limit=limit)) if run_id is None else [store.run(run_id)]


def _run_table(runs: "list[Run]", width: int) -> "Table":
    """Return the table of runs. On a narrow terminal it has fewer columns; ids are never cut."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    roomy = width >= _ROOMY
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("Run ID", no_wrap=True)
    if roomy:
        table.add_column("Federation", overflow="fold")
    table.add_column("App", overflow="fold")
    table.add_column("Status", no_wrap=True)
    if width >= _NARROW:
        table.add_column("Elapsed", justify="right", no_wrap=True)
    table.add_column("Status Changed @" if roomy else "Status\nChanged @", no_wrap=True)
    for run in runs:
        changed = time_text(run.changed_at)
        cells: list[str | Text] = [str(run.run_id)]
        if roomy:
            cells.append(run.federation)
        cells.append(f"@{run.fab_id}=={run.fab_version}")
        cells.append(Text(run.state.value, style=_COLOURS.get(run.state.value, "dim")))
        if width >= _NARROW:
            cells.append(duration_text(run.elapsed(clock.unix_now())))
        table.add_row(*cells, changed if roomy else changed.replace(" ", "\n"))
    return table


def _detail_table(run: "Run") -> "Table":
    """Return one run's facts, one a line."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    facts: dict[str, str | Text] = {
        "Run ID": str(run.run_id),
        "Federation": run.federation,
        "App": f"@{run.fab_id}=={run.fab_version}",
        "FAB Hash": f"{run.fab_hash[:8]}...{run.fab_hash[-8:]}" if run.fab_hash else "N/A",
        "Status": Text(run.state.value, style=_COLOURS.get(run.state.value, "dim")),
        "Status Details": Text(run.details or "N/A"),
        "Rounds": f"{run.rounds_done} of {run.rounds or 'N/A'}",
        "Nodes": str(run.nodes or "N/A"),
        "Failed replies": str(run.failures),
        "Elapsed": duration_text(run.elapsed(clock.unix_now())),
        "Pending At": time_text(run.pending_at),
        "Starting At": time_text(run.starting_at),
        "Running At": time_text(run.running_at),
        "Finished At": time_text(run.finished_at),
        "Network traffic": "none: it ran in place",
        "Compute Time (ClientApp)": f"{run.client_seconds:.2f}s",
    }
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def _as_json(run: "Run") -> dict[str, Any]:
    """Return one run as programs read it; ids are strings."""
    elapsed = run.elapsed(clock.unix_now())
    return {
        "run-id": str(run.run_id),
        "federation-id": run.federation,
        "fab-id": run.fab_id,
        "fab-name": run.fab_id.rpartition("/")[2],
        "fab-version": run.fab_version,
        "fab-hash": run.fab_hash,
        "status": run.state.value,
        "status-details": run.details or "N/A",
        "elapsed": round(elapsed, 3),
        "pending-at": time_text(run.pending_at),
        "starting-at": time_text(run.starting_at),
        "running-at": time_text(run.running_at),
        "finished-at": time_text(run.finished_at),
        "network-traffic": {"inbound-bytes": 0, "outbound-bytes": 0, "total-bytes": 0},
        "compute-time": {
            "serverapp-seconds": round(elapsed, 3),
            "clientapp-seconds": round(run.client_seconds, 3),
            "total-seconds": round(elapsed + run.client_seconds, 3),
        },
        "nodes": run.nodes,
        "rounds": run.rounds,
        "rounds-done": run.rounds_done,
        "failures": run.failures,
    }
