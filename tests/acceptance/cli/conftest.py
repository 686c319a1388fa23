"""An empty ``FLWR_HOME`` and working folder for each test."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_apps import Flwr, write_app


@pytest.fixture
def flwr(tmp_path: Path) -> Flwr:
    """Return the command, with an empty home and an empty working folder."""
    work = tmp_path / "work"
    work.mkdir()
    return Flwr(tmp_path / "home", work)


@pytest.fixture
def app(flwr: Flwr) -> Callable[..., Path]:
    """Return a function that writes a tiny app into the working folder."""
    return lambda **parts: write_app(flwr.work / "tiny-app", **parts)
