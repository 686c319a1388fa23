"""``flwr supernode``: the nodes of a SuperLink."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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
supernode = typer.Typer(name="supernode", help="See SuperNodes.", no_args_is_help=True)


@supernode.callback()
def root() -> None:
    """See SuperNodes."""


def list_nodes(
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
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


def _read_nodes(place: Place) -> "list[Node]":
    if place.address is None:
        raise ConfigError(
            "Runs in place have virtual nodes only",
            hint="Name the connection of a SuperLink: flwr supernode list NAME",
        )
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
    out.print(listing_table(_COLUMNS, rows, out.width))


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
