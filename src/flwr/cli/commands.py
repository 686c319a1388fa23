"""The tree of commands."""

from typing import Annotated

import typer

from flwr._version import __version__
from flwr.cli.apphub import apphub
from flwr.cli.build import build
from flwr.cli.chat import chat
from flwr.cli.config_list import config
from flwr.cli.doctor import doctor
from flwr.cli.federation import federation
from flwr.cli.install import install
from flwr.cli.log import log
from flwr.cli.login import login
from flwr.cli.ls import ls
from flwr.cli.new import new
from flwr.cli.pull import pull
from flwr.cli.run import run
from flwr.cli.stop import stop
from flwr.cli.supernode import supernode
from flwr.cli.why import why

app = typer.Typer(
    name="flwr",
    help="Wildflower: federated learning, compatible with Flower.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"Flower version: {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Federated learning, compatible with Flower."""


app.command()(new)
app.command()(run)
app.command()(build)
app.command()(install)
app.command("list")(ls)
app.command("ls", hidden=True)(ls)
app.command()(log)
app.command()(stop)
app.command()(doctor)
app.command()(why)
app.add_typer(supernode)
app.add_typer(federation)
app.add_typer(config)
app.add_typer(apphub)
app.command()(login)
app.command()(pull)
app.command()(chat)
