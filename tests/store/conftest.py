"""Stores to test: every test that takes `store` runs on each dialect."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_desk import Desk
from sample_runs import Script

from flwr.store import Store


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    path = tmp_path / "runs.db" if request.param == "file" else None
    with Store.open(path) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test may have its database file."""
    return tmp_path / "home" / "runs.db"


@pytest.fixture
def script() -> Iterator[Script]:
    """Start a Python program that talks with the test by lines; it is killed at the end."""
    found = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, found))}
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(params=["file", "memory"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """A hub's store that is empty; what must always hold of it is checked at the end."""
    opened = Desk(tmp_path / "state.db" if request.param == "file" else None)
    yield opened
    opened.close()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Desk]:
    """A hub's store in a file, which can be opened again."""
    opened = Desk(tmp_path / "state.db")
    yield opened
    opened.close()
