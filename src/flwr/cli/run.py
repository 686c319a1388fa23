"""``flwr run``: run an app, in place and in the foreground, or at a SuperLink."""

from pathlib import Path
from typing import Annotated

import typer

from flwr.cli.arguments import complete_apps_and_connections, complete_connections
from flwr.cli.output import FormatOption, OutputFormat, reporting
from flwr.cli.place import NO_FEDERATION, read_place, split_arguments
from flwr.cli.problems import Problems
from flwr.config import (
    Place,
    SimulationOptions,
    fuse_run_config,
    parse_config_args,
    read_app,
)
from flwr.errors import ConfigError, RunConfigError


def run(
    app: Annotated[
        str | None,
        typer.Argument(
            help="The app's folder; by default the current one.",
            autocompletion=complete_apps_and_connections,
        ),
    ] = None,
    connection: Annotated[
        str | None,
        typer.Argument(
            help="A connection of config.toml, or a federation of the app.",
            autocompletion=complete_connections,
        ),
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
        bool, typer.Option("--stream", help="Follow a run at a SuperLink; one in place always is.")
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
    """Run an app: here, or at a SuperLink.

    A run in place is shown until it ends; one at a SuperLink goes on by itself.
    """
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
        problems = Problems("The settings of the run cannot be used")
        with problems.noted():
            overrides = parse_config_args(run_config, known=config.run_config)
            settings = fuse_run_config(config.run_config, overrides)
        with problems.noted():
            options = _override(place.options, federation_config)
        problems.raise_any()
        to_stderr = output_format is OutputFormat.JSON
        if place.address is None:
            if federation not in (None, NO_FEDERATION):
                raise ConfigError(
                    f"There is no federation '{federation}' in place",
                    hint=f"Leave --federation out, or write {NO_FEDERATION}.",
                )
            from flwr.cli.local_run import LocalRun, run_in_place

            here = LocalRun(
                config, place, options, settings, overrides, debug, fresh_database, to_stderr
            )
            run_in_place(here, result)
            return
        _refuse_local_options(place, {"--debug": debug, "--fresh-database": fresh_database})
        from flwr.cli.remote_run import RemoteRun, run_at_superlink

        remote = RemoteRun(
            app_dir=config.app_dir,
            given=folder,
            place=place,
            federation=federation or place.federation or NO_FEDERATION,
            overrides=overrides,
            options=dict(parse_config_args(federation_config)),
            stream=stream,
            to_stderr=to_stderr,
        )
        run_at_superlink(remote, result)


def _refuse_local_options(place: Place, given: dict[str, bool]) -> None:
    for option in (name for name, is_given in given.items() if is_given):
        raise ConfigError(
            f"{option} is for runs in place; '{place.name}' is the SuperLink at {place.address} "
            f"({place.why})",
            hint="To run here instead, name the connection 'local'.",
        )


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
