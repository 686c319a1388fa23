"""``flwr config``: the user's connections."""

from typing import TYPE_CHECKING, Any

import typer

from flwr.cli.output import FormatOption, OutputFormat, reporting

if TYPE_CHECKING:
    from flwr.config import Connections

config = typer.Typer(name="config", help="See connections.", no_args_is_help=True)


@config.callback()
def root() -> None:
    """See connections."""


def list_connections(output_format: FormatOption = OutputFormat.DEFAULT) -> None:
    """List the connections of config.toml, and which is used when none is named."""
    with reporting(output_format) as result:
        from flwr.config import read_connections

        connections = read_connections()
        result.update(_as_json(connections))
        if output_format is OutputFormat.JSON:
            return
        missing = "" if connections.path.is_file() else " (there is none)"
        typer.echo(f"Flower Config file: {connections.path}{missing}\nSuperLink connections:")
        for name in connections.by_name:
            typer.echo(f"  {name}{' (default)' if name == connections.default else ''}")


config.command("list")(list_connections)
config.command("ls", hidden=True)(list_connections)


def _as_json(connections: "Connections") -> dict[str, Any]:
    return {
        "superlink": list(connections.by_name),
        "default": connections.default,
        "path": str(connections.path),
    }
