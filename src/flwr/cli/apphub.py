"""``flwr app``: Flower's hub of apps."""

from pathlib import Path
from typing import Annotated

import typer

from flwr.cli.output import FormatOption, OutputFormat
from flwr.cli.unavailable import refuse

apphub = typer.Typer(name="app", help="Share apps at Flower's hub.", no_args_is_help=True)


@apphub.callback()
def root() -> None:
    """Share apps at Flower's hub. Not available: use flwr build and flwr install."""


@apphub.command()
def publish(
    app: Annotated[
        Path, typer.Argument(help="The app's folder; by default the current one.")
    ] = Path(),
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Send an app to Flower's hub. Not available: hand out what flwr build makes."""
    refuse("app publish", output_format)


@apphub.command()
def review(
    app_spec: Annotated[
        str, typer.Argument(help="The app, as @account/app or @account/app==1.0.0.")
    ],
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Review and sign an app of Flower's hub. Not available: there is no such service here."""
    refuse("app review", output_format)
