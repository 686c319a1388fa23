"""What the positional arguments of a command name: an app's folder and a connection."""

from pathlib import Path

from flwr.config import AppConfig, Place, choose_place, read_app, read_connections
from flwr.errors import ConfigError

NO_FEDERATION = "@none/default"  # what a place that has no federations calls its only one


def split_arguments(app: str | None, connection: str | None) -> tuple[Path | None, str | None]:
    """Return the app's folder and the connection's name, as far as they are given.

    A single argument is the app if it is a folder with a ``pyproject.toml``, or looks like a path,
    and otherwise a connection.
    """
    if app is None or connection is not None:
        return Path(app) if app is not None else None, connection
    is_path = app in (".", "..") or "/" in app or "\\" in app
    if is_path or Path(app, "pyproject.toml").is_file():
        return Path(app), None
    return None, app


def read_place(app: AppConfig | None, name: str | None) -> Place:
    """Return where a run takes place; see :func:`flwr.config.choose_place`."""
    try:
        return choose_place(name, app, read_connections())
    except ConfigError as error:
        if name and Path(name).is_dir():
            error.message += f" (and the folder '{name}' has no pyproject.toml)"
        raise


def require_local(place: Place) -> None:
    """Refuse a place that is not this machine.

    Raises
    ------
    ConfigError
        If it is a SuperLink's.
    """
    if place.address is not None:
        raise ConfigError(
            f"'{place.name}' is the SuperLink at {place.address} ({place.why}); this version runs "
            "apps in place only: remote runs come with the deployment",
            hint="To run here instead, name the connection 'local'.",
        )


def local_place(app: str | None, connection: str | None) -> None:
    """Check that the arguments of a command about runs name this machine.

    Raises
    ------
    ConfigError
        If they name nothing known, or a SuperLink.
    """
    folder, name = split_arguments(app, connection)
    require_local(read_place(read_app(folder) if folder else None, name))
