"""An empty ``FLWR_HOME`` and working folder for each test."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
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


@pytest.fixture
def waiting_in(
    app: Callable[..., Path], flwr: Flwr, tmp_path: Path
) -> "Iterator[Callable[[str], subprocess.Popen[str]]]":
    """Give a function that starts a run and returns it while it waits after its training.

    It takes the statement that waits, in which ``{wait}`` stands for what does so.
    """
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with contextlib.ExitStack() as stack:

        def start(statement: str) -> "subprocess.Popen[str]":
            wait = f"open({str(gate)!r}).read()"
            process = flwr.start("run", app(then=statement.replace("{wait}", wait).strip()))
            stack.enter_context(gate.open("w"))  # once the run has opened it
            return process

        yield start


@pytest.fixture
def waiting(waiting_in: "Callable[[str], subprocess.Popen[str]]") -> "subprocess.Popen[str]":
    """Return a run that waits after its training."""
    return waiting_in("{wait}")
