"""``flwr federation``: who takes part at a place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flwr.cli.arguments import AppOrConnection, ConnectionOfApp
from flwr.cli.federation_invite import invite
from flwr.cli.output import FormatOption, OutputFormat, console, duration_text, reporting
from flwr.cli.place import NO_FEDERATION, find_place
from flwr.cli.runs import Listing, elapsed, read_runs
from flwr.cli.tables import Column, listing_table
from flwr.cli.unavailable import refuse
from flwr.config import Place, SimulationOptions
from flwr.errors import ConfigError

if TYPE_CHECKING:
    from rich.text import Text

    from flwr.transport.appio import Node

_DESCRIPTIONS = {True: "virtual nodes, made for each run", False: "the SuperNodes that connect"}
federation = typer.Typer(name="federation", help="See federations.", no_args_is_help=True)
federation.add_typer(invite)
Name = Annotated[str, typer.Argument(help="The federation, as @account/name.")]
NodeId = Annotated[int, typer.Argument(help="The node, as `flwr supernode list` shows it.")]
SuperLink = Annotated[str | None, typer.Argument(help="The connection of a SuperLink.")]


@dataclass(frozen=True)
class _Federation:
    """The only federation of a place; `options` if its nodes are virtual."""

    options: SimulationOptions | None
    nodes: "list[Node]"
    listing: Listing


@federation.callback()
def root() -> None:
    """See federations."""


def list_federations(
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
    name: Annotated[
        str | None, typer.Option("--federation", help="Show one in detail: its nodes and runs.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="No effect: there are no archived federations.")
    ] = False,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """List the federations of a place, or show one. Every place has one: @none/default."""
    with reporting(output_format) as result:
        place = find_place(app, connection)
        if name not in (None, NO_FEDERATION):
            raise ConfigError(
                f"There is no federation '{name}'", hint=f"The only one is {NO_FEDERATION}."
            )
        options, nodes = _read(place)
        say = output_format is not OutputFormat.JSON
        if say and place.address is not None:
            typer.echo(f"Using SuperLink: {place.name} ({place.address})")
        if name is None:
            result["federations"] = [_summary(options)]
            if say:
                _print_list(options)
            return
        shown = _Federation(options, nodes, read_runs(place))
        result["federation"] = _as_json(shown)
        if say:
            _print(shown)


federation.command("list")(list_federations)
federation.command("ls", hidden=True)(list_federations)


def _read(place: Place) -> "tuple[SimulationOptions | None, list[Node]]":
    """Return the options of simulations, or the nodes."""
    if place.address is None:
        return place.options, []
    from flwr.cli.superlink import connected
    from flwr.transport.control import FEDERATION, NODES
    from flwr.transport.parts import Nothing

    with connected(place) as link:
        told = link.call(FEDERATION, Nothing())
        if told.is_simulation:
            return SimulationOptions().override(told.options, lambda _key, _text: None), []
        return None, link.call(NODES, Nothing()).nodes


def _summary(options: SimulationOptions | None) -> dict[str, Any]:
    simulation = options is not None
    return {
        "id": NO_FEDERATION,
        "description": _DESCRIPTIONS[simulation],
        "archived": False,
        "simulation": simulation,
    }


def _as_json(shown: _Federation) -> dict[str, Any]:
    now = shown.listing.now
    return {
        "members": [{"member_id": "none", "role": "owner"}],
        "nodes": [
            {"node_id": str(node.node_id), "owner": "none", "status": _status(node)}
            for node in shown.nodes
        ],
        "runs": [
            {
                "run_id": str(run.run_id),
                "app": f"@{run.fab_id}=={run.fab_version}",
                "status": run.state,
                "elapsed": round(elapsed(run, now), 3),
            }
            for run in shown.listing.runs
        ],
        "archived": False,
        "simulation": shown.options is not None,
        "simulation-config": None if shown.options is None else _options(shown.options),
    }


def _options(options: SimulationOptions) -> dict[str, Any]:
    arguments = options.init_args
    return {
        "num_supernodes": options.num_supernodes,
        "client_resources_num_cpus": options.num_cpus,
        "client_resources_num_gpus": options.num_gpus,
        "backend": "ray",
        "verbose": options.verbose,
        "init_args_num_cpus": arguments.get("num_cpus"),
        "init_args_num_gpus": arguments.get("num_gpus"),
        "init_args_logging_level": arguments.get("logging_level"),
        "init_args_log_to_driver": arguments.get("log_to_driver"),
    }


def _status(node: "Node") -> str:
    return "online" if node.online else "offline"


def _print_list(options: SimulationOptions | None) -> None:
    told = _summary(options)
    runtime = "simulation" if told["simulation"] else "deployment"
    _table(
        ("Federation", "Description", "Runtime", "Status"),
        [[told["id"], told["description"], runtime, "active"]],
    )


def _print(shown: _Federation) -> None:
    typer.echo(f"Federation {NO_FEDERATION}\n\nMembers")
    _table(("Account Name", "Role"), [["none", "owner"]])
    if shown.options is not None:
        typer.echo("Simulation Configuration")
        values = {key: value for key, value in _options(shown.options).items() if value is not None}
        _table(("Key", "Value"), [[key.replace("_", "-"), str(values[key])] for key in values])
    elif shown.nodes:
        typer.echo("SuperNodes")
        _table(
            ("Node ID", "Owner", "Status"),
            [[str(node.node_id), "none", _status(node)] for node in shown.nodes],
        )
    else:
        typer.echo("No SuperNode has connected yet.")
    runs, now = shown.listing.runs, shown.listing.now
    typer.echo("Runs" if runs else "There are no runs yet.")
    if runs:
        _table(
            ("Run ID", "App", "Status", "Elapsed"),
            [
                [
                    str(run.run_id),
                    f"@{run.fab_id}=={run.fab_version}",
                    run.state,
                    duration_text(elapsed(run, now)),
                ]
                for run in runs
            ],
        )


def _table(headings: Sequence[str], rows: "Sequence[Sequence[str | Text]]") -> None:
    out = console()
    folded = ("Description", "App")
    columns = [Column(heading, fold=heading in folded) for heading in headings]
    out.print(listing_table(columns, rows, out.width), crop=False)


# -- what needs accounts


@federation.command()
def create(
    federation_name: Annotated[str, typer.Argument(help="Its name.")],
    superlink: SuperLink = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    simulation: Annotated[bool, typer.Option("--simulation", help="For simulations.")] = False,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Create a federation. Not available: a SuperLink has one."""
    refuse("federation create", output_format)


@federation.command()
def archive(
    name: Name,
    superlink: SuperLink = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Archive a federation. Not available: a SuperLink has one, and keeps it."""
    refuse("federation archive", output_format)


@federation.command()
def add_supernode(
    node_id: NodeId,
    name: Name,
    superlink: SuperLink = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Add a SuperNode to a federation. Not available: all nodes of a SuperLink are in its one."""
    refuse("federation add-supernode", output_format)


@federation.command()
def remove_supernode(
    node_id: NodeId,
    name: Name,
    superlink: SuperLink = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Remove a SuperNode from a federation. Not available: see flwr supernode unregister."""
    refuse("federation remove-supernode", output_format)


@federation.command()
def remove_account(
    name: Name,
    account_name: Annotated[str | None, typer.Argument(help="The account.")] = None,
    superlink: SuperLink = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Remove an account from a federation. Not available: there are no accounts."""
    refuse("federation remove-account", output_format)


@federation.command()
def simulation_config(
    name: Annotated[str | None, typer.Argument(help="The federation, as @account/name.")] = None,
    superlink: SuperLink = None,
    num_supernodes: Annotated[int | None, typer.Option(min=1, help="Virtual nodes.")] = None,
    client_resources_num_cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs for a client.")
    ] = None,
    client_resources_num_gpus: Annotated[
        float | None, typer.Option(min=0.0, help="GPUs for a client.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
    backend_name: Annotated[str | None, typer.Option(help="The backend: ray.")] = None,
    init_args_num_cpus: Annotated[int | None, typer.Option(min=1, help="CPUs for all.")] = None,
    init_args_num_gpus: Annotated[int | None, typer.Option(min=0, help="GPUs for all.")] = None,
    init_args_logging_level: Annotated[str | None, typer.Option(help="Ray's log level.")] = None,
    init_args_log_to_driver: Annotated[
        str | None, typer.Option(help="Whether Ray shows workers' logs: true or false.")
    ] = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Set options of simulations at a SuperLink. Not available: set them for a run."""
    refuse("federation simulation-config", output_format)
