import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation.engine import simulate


@pytest.fixture(autouse=True, params=["memfd", "file"])
def shared_memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run every test on both kinds of shared memory."""
    kind: str = request.param
    if kind == "file":
        monkeypatch.setenv("FLWR_SHM", "file")
    else:
        monkeypatch.delenv("FLWR_SHM", raising=False)
    return kind


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After each test: no process, no descriptor and no temporary file of the engine."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    before, descriptors = children(), len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert children() <= before
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2
    assert list(folder.glob("flwr-*")) == []


Main = Callable[[Grid, Context], None]


@pytest.fixture
def run() -> Callable[..., Context]:
    """Run a main function against a ClientApp; two workers unless told otherwise."""

    def run_it(
        main: Main, client: ClientApp, *, nodes: int = 4, cpus: int = 2, **more: Any
    ) -> Context:
        server = ServerApp()
        server.main()(main)
        return simulate(server, client, nodes=nodes, init_args={"num_cpus": cpus}, **more)

    return run_it
