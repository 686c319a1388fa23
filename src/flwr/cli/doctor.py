"""``flwr doctor``: look at what a run needs, and say what is wrong and what to do."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from flwr.cli.arguments import AppOrConnection, ConnectionOfApp
from flwr.cli.output import FormatOption, OutputFormat, console, reporting
from flwr.cli.place import find_place
from flwr.errors import FlwrError, ProblemsFoundError

if TYPE_CHECKING:
    from flwr.cli.checks import Check

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor(
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Look at this machine and at a connection, and say what is wrong and what to do."""
    with reporting(output_format) as result:
        checks = examine(app, connection)
        result["checks"] = [asdict(check) for check in checks]
        if output_format is not OutputFormat.JSON:
            _print(checks)
        wrong = list(dict.fromkeys(check.name for check in checks if check.status == "problem"))
        if wrong:
            raise ProblemsFoundError(f"Problems with: {', '.join(wrong)}.")


def examine(app: str | None, connection: str | None) -> "list[Check]":
    """Look at everything that a command with these arguments would use."""
    from datetime import UTC, datetime

    from flwr.cli import checks, examine

    machine = examine.machine()
    found = checks.of_machine(machine)
    try:
        place = find_place(app, connection)
    except FlwrError as error:
        if str(error) != str(machine.configuration_error):
            found.append(checks.failed("connection", error))
        return found
    found += checks.of_place(place)
    if place.address is None:
        return found + checks.of_simulation(examine.simulation(place))
    return found + checks.of_hub(examine.hub(place), datetime.now(UTC))


def _print(checks: "list[Check]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        text = Text(check.message)
        if check.advice and check.status != "ok":
            text.append(f"\n{check.advice}", style="italic")
        table.add_row(Text(check.status, style=_COLOURS[check.status]), check.name, text)
    console().print(table)
    counts = [_count(checks, status) for status in ("problem", "warning")]
    typer.echo(f"{len(checks)} checks: {', '.join(counts)}.")


def _count(checks: "list[Check]", status: str) -> str:
    number = sum(check.status == status for check in checks)
    return f"{number} {status}{'s' * (number != 1)}"
