"""``flwr supernode``: the nodes of a SuperLink."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flwr.cli.arguments import AppOrConnection, ConnectionOfApp
from flwr.cli.output import (
    FormatOption,
    OutputFormat,
    console,
    duration_text,
    reporting,
    time_text,
)
from flwr.cli.place import find_place
from flwr.cli.tables import Column, listing_table
from flwr.cli.unavailable import refuse
from flwr.config import Place
from flwr.errors import ConfigError

if TYPE_CHECKING:
    from flwr.transport.appio import Node

_COLUMNS = (
    Column("Node ID"),
    Column("Name", fold=True, spare=1),
    Column("Config", fold=True, spare=3),
    Column("Status"),
    Column("Elapsed", right=True, spare=2),
    Column("Status Changed @", split=True),
)
supernode = typer.Typer(name="supernode", help="See and forget SuperNodes.", no_args_is_help=True)


@supernode.callback()
def root() -> None:
    """See and forget SuperNodes."""


def list_nodes(
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="No effect: all that is known is always shown.")
    ] = False,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """List the SuperNodes that a SuperLink knows, by id."""
    with reporting(output_format) as result:
        place = find_place(app, connection)
        nodes = _read_nodes(place)
        now = datetime.now(UTC)
        result["nodes"] = [_as_json(node, now) for node in nodes]
        if output_format is OutputFormat.JSON:
            return
        typer.echo(f"Using SuperLink: {place.name} ({place.address})")
        if nodes:
            _print_table(nodes, now)
        else:
            typer.echo("No SuperNode has connected yet.")


supernode.command("list")(list_nodes)
supernode.command("ls", hidden=True)(list_nodes)


@supernode.command()
def register(
    public_key: Annotated[Path, typer.Argument(help="The node's public key, a file.")],
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
    name: Annotated[str | None, typer.Option(help="The node's name.")] = None,
    location: Annotated[
        str | None, typer.Option(help="Where it is: '<latitude>,<longitude>'.")
    ] = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Register a SuperNode by its key. Not available: nodes have no keys, and need not be known."""
    refuse("supernode register", output_format)


@supernode.command()
def unregister(
    node_id: Annotated[int, typer.Argument(help="The node, as `flwr supernode list` shows it.")],
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Forget a SuperNode that is offline. If it comes back, it gets another id."""
    with reporting(output_format) as result:
        place = find_place(app, connection)
        _require_superlink(place, "flwr supernode unregister ID NAME")
        from flwr.cli.superlink import connected, place_line
        from flwr.transport.control import FORGET_NODE, NodeQuestion

        with connected(place) as link:
            link.call(FORGET_NODE, NodeQuestion(node_id))
        result["node-id"] = str(node_id)
        if output_format is not OutputFormat.JSON:
            typer.echo(f"{place_line(place)}\nNode {node_id} is forgotten.")


def _require_superlink(place: Place, command: str) -> None:
    if place.address is None:
        raise ConfigError(
            "Runs in place have virtual nodes only",
            hint=f"Name the connection of a SuperLink: {command}",
        )


def _read_nodes(place: Place) -> "list[Node]":
    _require_superlink(place, "flwr supernode list NAME")
    from flwr.cli.superlink import connected
    from flwr.transport.control import NODES
    from flwr.transport.parts import Nothing

    with connected(place) as link:
        return link.call(NODES, Nothing()).nodes


def _print_table(nodes: "list[Node]", now: datetime) -> None:
    from rich.text import Text

    rows: list[list[str | Text]] = [
        [
            str(node.node_id),
            node.name,
            Text(" ".join(f"{key}={value}" for key, value in node.node_config.items())),
            Text(_status(node), style="green" if node.online else "dim"),
            duration_text(_online_seconds(node, now)) if node.online else "",
            time_text((node.online_since if node.online else node.offline_since) or None),
        ]
        for node in nodes
    ]
    out = console()
    out.print(listing_table(_COLUMNS, rows, out.width), crop=False)


def _as_json(node: "Node", now: datetime) -> dict[str, Any]:
    return {
        "node-id": str(node.node_id),
        "owner-name": "none",
        "name": node.name,
        "node-config": node.node_config,
        "status": _status(node),
        "created-at": time_text(node.created_at or None),
        "online-at": time_text(node.online_since or None),
        "online-elapsed": round(_online_seconds(node, now), 3),
        "offline-at": time_text(None if node.online else node.offline_since or None),
    }


def _status(node: "Node") -> str:
    return "online" if node.online else "offline"


def _online_seconds(node: "Node", now: datetime) -> float:
    if not (node.online and node.online_since):
        return 0.0
    return max(0.0, (now - datetime.fromisoformat(node.online_since)).total_seconds())
