"""Legacy federations of real processes, ended by their ids after each test."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

sys.path.append(str(Path(__file__).parents[1] / "deployment"))  # deployed, also when run alone

from deployed import Certificates, Deployment, Running, free_ports, write_certificates


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """Return a hub with two nodes."""
    deployment = Deployment(tmp_path)
    try:
        deployment.start_hub()
        for index in range(2):
            deployment.start_node(index, 2)
        yield deployment
    finally:
        deployment.close()


@pytest.fixture
def address() -> str:
    """Return an address that nobody listens at."""
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return the files of a server at 127.0.0.1."""
    return write_certificates(tmp_path / "tls", trustme.CA(), "127.0.0.1")


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a script, given as text, with arguments."""
    with contextlib.ExitStack() as stack:

        def start(text: str, *arguments: object) -> Running:
            file = tmp_path / f"script{len(list(tmp_path.glob('*.py')))}.py"
            file.write_text(text)
            command = [sys.executable, str(file), *map(str, arguments)]
            running = Running(command, {**os.environ, "PYTHONUNBUFFERED": "1"}, tmp_path)
            stack.callback(running.kill)
            return running

        yield start
