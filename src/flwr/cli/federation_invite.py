"""``flwr federation invite``."""

from typing import Annotated

import typer

from flwr.cli.output import FormatOption, OutputFormat
from flwr.cli.unavailable import refuse

invite = typer.Typer(
    name="invite", help="Invite accounts to federations. Not available.", no_args_is_help=True
)
Account = Annotated[str, typer.Argument(help="The account.")]
Name = Annotated[str, typer.Argument(help="The federation, as @account/name.")]
SuperLink = Annotated[str | None, typer.Argument(help="The connection of a SuperLink.")]


@invite.callback()
def root() -> None:
    """Invite accounts to federations. Not available: there are no accounts."""


@invite.command()
def create(
    account: Account,
    federation: Name,
    superlink: SuperLink = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Invite an account to a federation. Not available: there are no accounts."""
    refuse("federation invite create", output_format)


@invite.command()
def accept(
    federation: Name,
    superlink: SuperLink = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Accept an invitation. Not available: there are no accounts."""
    refuse("federation invite accept", output_format)


@invite.command()
def reject(
    federation: Name,
    superlink: SuperLink = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Reject an invitation. Not available: there are no accounts."""
    refuse("federation invite reject", output_format)


@invite.command()
def revoke(
    account: Account,
    federation: Name,
    superlink: SuperLink = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Withdraw an invitation. Not available: there are no accounts."""
    refuse("federation invite revoke", output_format)


def list_invitations(
    superlink: SuperLink = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="With those that are over.")] = False,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """List invitations. Not available: there are no accounts."""
    refuse("federation invite list", output_format)


invite.command("list")(list_invitations)
invite.command("ls", hidden=True)(list_invitations)
