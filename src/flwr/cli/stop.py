"""``flwr stop``: end a run at a SuperLink."""

import typer

from flwr.cli.arguments import AppOrConnection, ConnectionOfApp, IdleFederationConfig, RunId
from flwr.cli.output import FormatOption, OutputFormat, reporting
from flwr.cli.place import find_place
from flwr.errors import ConfigError


def stop(
    run_id: RunId,
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
    federation_config: IdleFederationConfig = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Stop a run. Its processes are ended; what it has printed and measured is kept."""
    with reporting(output_format) as result:
        place = find_place(app, connection)
        if place.address is None:
            raise ConfigError(
                "Runs in place are in the foreground of the command that started them",
                hint="Stop one there with Ctrl-C. For a run at a SuperLink, name its connection.",
            )
        from flwr.cli.superlink import connected, place_line
        from flwr.transport.control import STOP_RUN
        from flwr.transport.parts import RunQuestion

        say = output_format is not OutputFormat.JSON
        if say:
            typer.echo(f"{place_line(place)}\nStopping run {run_id} ...")
        with connected(place) as link:
            run = link.call(STOP_RUN, RunQuestion(run_id))
        result.update({"run-id": str(run_id), "status": run.state})
        if say:
            typer.echo(f"Run {run_id} successfully stopped.")
