"""``flwr run``: run an app, in place and in the foreground."""

from pathlib import Path
from typing import Annotated

import typer

from flwr.cli.output import FormatOption, OutputFormat, reporting
from flwr.cli.place import NO_FEDERATION, read_place, require_local, split_arguments
from flwr.config import SimulationOptions, fuse_run_config, parse_config_args, read_app
from flwr.errors import ConfigError, RunConfigError


def run(
    app: Annotated[
        str | None, typer.Argument(help="The app's folder; by default the current one.")
    ] = None,
    connection: Annotated[
        str | None,
        typer.Argument(help="A connection of config.toml, or a federation of the app."),
    ] = None,
    run_config: Annotated[
        list[str] | None,
        typer.Option(
            "--run-config", "-c", help="Settings as 'key=value key=value', or one TOML file."
        ),
    ] = None,
    federation_config: Annotated[
        list[str] | None,
        typer.Option(
            "--federation-config", help="Options of the simulation, such as 'num-supernodes=20'."
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Follow the run's log. In place it always does.")
    ] = False,
    output_format: FormatOption = OutputFormat.DEFAULT,
    federation: Annotated[
        str | None, typer.Option("--federation", help="The federation at the connection.")
    ] = None,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Run clients in this process, so that breakpoints work."),
    ] = False,
    fresh_database: Annotated[
        bool,
        typer.Option(
            "--fresh-database", help="Put a damaged run database aside; go on with a new one."
        ),
    ] = False,
) -> None:
    """Run an app. What it prints and the course of its rounds are shown until it ends."""
    with reporting(output_format) as result:
        folder, name = split_arguments(app, connection)
        if folder is None and name is not None and not Path("pyproject.toml").is_file():
            raise ConfigError(
                f"'{name}' is no folder with a pyproject.toml, and there is no app in the current "
                "folder that could run at a connection of that name",
                hint="Give the folder of an app.",
            )
        config = read_app(folder or Path())
        place = read_place(config, name)
        require_local(place)
        if federation not in (None, NO_FEDERATION):
            raise ConfigError(
                f"There is no federation '{federation}' in place",
                hint=f"Leave --federation out, or write {NO_FEDERATION}.",
            )
        options = _override(place.options, federation_config)
        overrides = parse_config_args(run_config)
        settings = fuse_run_config(config.run_config, overrides)

        from flwr.cli.local_run import LocalRun, run_in_place

        request = LocalRun(
            config, place, options, settings, overrides, debug, fresh_database,
            to_stderr=output_format is OutputFormat.JSON,
        )  # fmt: skip
        run_in_place(request, result)


def _override(options: SimulationOptions, texts: list[str] | None) -> SimulationOptions:
    """Return the options with those of ``--federation-config`` in their places."""
    option = "--federation-config"
    wrong: list[str] = []
    changed = options.override(
        parse_config_args(texts, option=option),
        lambda key, text: wrong.append(f"'{key}': {text}"),
    )
    if wrong:
        raise RunConfigError(f"{option}: " + "; ".join(wrong))
    return changed
