"""Where the project keeps its files: ``FLWR_HOME``, by default ``~/.flwr``."""

import os
from pathlib import Path

from flwr.errors import HomeError

_HINT = "Set FLWR_HOME to a folder that you may write to."


def home() -> Path:
    """Return the absolute path of ``FLWR_HOME`` (default ``~/.flwr``); create it if missing.

    Raises
    ------
    HomeError
        If it cannot be created, is no folder, or cannot be written.
    """
    named = os.environ.get("FLWR_HOME", "")
    try:
        path = Path(named or "~/.flwr").expanduser().absolute()
    except RuntimeError as error:
        raise HomeError(f"No home folder is known for this user: {error}", hint=_HINT) from error
    return _writable(path)


def state_dir() -> Path:
    """Return the folder of what this project writes, ``FLWR_HOME/wildflower``.

    What other programs keep in ``FLWR_HOME`` is never opened, ``config.toml`` apart.
    """
    return _writable(home() / "wildflower")


def _writable(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(f"FLWR_HOME {path} cannot be used: {error.strerror}", hint=_HINT) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise HomeError(f"FLWR_HOME {path} cannot be written", hint=_HINT)
    return path
