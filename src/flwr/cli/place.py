"""What the positional arguments of a command name: an app's folder and a connection."""

import shlex
from pathlib import Path

from flwr.config import Place, choose_place, read_connections, read_federations
from flwr.config.project import HasFederations
from flwr.errors import ConfigError, NotAvailableError

NO_FEDERATION = "@none/default"  # what a place that has no federations calls its only one


def split_arguments(app: str | None, connection: str | None) -> tuple[Path | None, str | None]:
    """Return the app's folder and the connection's name, as far as they are given.

    A single argument is the app if it is a folder with a ``pyproject.toml``, or looks like a path,
    and otherwise a connection.

    Raises
    ------
    ConfigError
        If one of them is an empty text, or the app is a FAB.
    NotAvailableError
        If the app is one of Flower's hub.
    """
    if "" in (app, connection):
        raise ConfigError(
            "The name of an app's folder or of a connection is empty",
            hint="A variable that is not set? The current folder is '.'.",
        )
    if app and app.endswith(".fab") and Path(app).is_file():
        raise ConfigError(
            f"'{app}' is a FAB, and what is run is a folder",
            hint=f"Install it, which tells its folder: {shlex.join(['flwr', 'install', app])}",
        )
    if app and app.startswith("@") and not Path(app).is_dir():
        raise NotAvailableError(
            f"'{app}' names an app of Flower's hub, and apps cannot be fetched from there",
            hint="Give the folder of an app. For a file, use first: flwr install NAME.fab",
        )
    if app is None or connection is not None:
        return Path(app) if app is not None else None, connection
    is_path = app in (".", "..") or "/" in app or "\\" in app
    if is_path or Path(app, "pyproject.toml").is_file():
        return Path(app), None
    return None, app


def read_place(app: HasFederations | None, name: str | None) -> Place:
    """Return where a run takes place; see :func:`flwr.config.choose_place`."""
    try:
        return choose_place(name, app, read_connections())
    except ConfigError as error:
        if name and Path(name).is_dir():
            has = "is an app" if Path(name, "pyproject.toml").is_file() else "has no pyproject.toml"
            error.message += f" (and the folder '{name}' {has})"
        raise


def find_place(app: str | None, connection: str | None) -> Place:
    """Return the place that the arguments of a command about runs name.

    The federations of the app in the given folder, or in the current one, are known as well.

    Raises
    ------
    ConfigError
        If they name nothing known.
    """
    folder, name = split_arguments(app, connection)
    if folder is not None and not (folder / "pyproject.toml").is_file():
        raise ConfigError(f"There is no pyproject.toml in '{folder}'")
    return read_place(read_federations(folder or Path()), name)
