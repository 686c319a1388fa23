"""A bench for each fault, and one deployment for those that need one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "deployment"))  # has the processes to start

from bench import Bench
from deployed import Deployment


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Return what a fault is injected with."""
    bench = Bench(tmp_path, request)
    yield bench
    bench.close()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Return a hub with two nodes."""
    deployment = Deployment(tmp_path_factory.mktemp("shared"))
    try:
        deployment.start_hub()
        for index in range(2):
            deployment.start_node(index, 2)
        yield deployment
    finally:
        deployment.close()
