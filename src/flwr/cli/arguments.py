"""The arguments that many commands take, and what a shell offers for them.

Completion reads the user's files and nothing else: no SuperLink is asked, so that it is fast and
works offline.
"""

import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer

from flwr.errors import FlwrError

_MOST_RUNS = 50  # that are offered, the newest ones


def complete_connections(incomplete: str) -> list[str]:
    """Return the connections and the current app's federations that begin so."""
    from flwr.config import read_connections, read_federations

    names: list[str] = []
    with contextlib.suppress(FlwrError):
        names += read_federations(Path()).federations
    with contextlib.suppress(FlwrError):
        names += read_connections().by_name
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def complete_apps_and_connections(incomplete: str) -> list[str]:
    """Return the folders of apps that begin so, and the connections that do."""
    base = incomplete[: incomplete.rfind("/") + 1]
    apps = []
    with contextlib.suppress(OSError), os.scandir(base or ".") as entries:
        for entry in entries:
            name = base + entry.name
            if name.startswith(incomplete) and Path(entry, "pyproject.toml").is_file():
                apps.append(name)
    return sorted(apps) + complete_connections(incomplete)


def complete_run_ids(incomplete: str) -> list[str]:
    """Return the ids of runs of this machine that begin so, the newest first."""
    from flwr.config import state_dir

    found: list[tuple[float, str]] = []
    with contextlib.suppress(FlwrError, OSError), os.scandir(state_dir() / "runs") as entries:
        found += (
            (entry.stat().st_mtime, entry.name)
            for entry in entries
            if entry.name.isdigit() and entry.name.startswith(incomplete)
        )
    return [name for _, name in sorted(found, reverse=True)[:_MOST_RUNS]]


AppOrConnection = Annotated[
    str | None,
    typer.Argument(
        help="A connection, or an app's folder before one.",
        autocompletion=complete_apps_and_connections,
    ),
]
ConnectionOfApp = Annotated[
    str | None,
    typer.Argument(
        help="A connection, or a federation of the app.", autocompletion=complete_connections
    ),
]
RunId = Annotated[
    int,
    typer.Argument(help="The run's id, as `flwr ls` shows it.", autocompletion=complete_run_ids),
]


def _say_idle(texts: list[str] | None) -> list[str] | None:
    if texts:
        typer.echo("Warning: --federation-config has no effect here; flwr run takes it.", err=True)
    return texts


IdleFederationConfig = Annotated[
    list[str] | None,
    typer.Option(
        "--federation-config", hidden=True, callback=_say_idle, help="No effect; flwr run takes it."
    ),
]
