from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_hub import FakeHub, fake_hub
from node_apps import write_app
from running_node import RunningNode, StartNode


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    """Return a hub with run 1 of the tests' app."""
    with fake_hub() as made:
        made.add_run(1, write_app(tmp_path / "app"), rounds=3)
        yield made


@pytest.fixture
def start_node(hub: FakeHub, tmp_path: Path) -> Iterator[StartNode]:
    """Start nodes for the hub, in the folder ``state`` unless told otherwise."""
    started: list[RunningNode] = []

    def start(folder: str = "state", **settings: Any) -> RunningNode:
        node = RunningNode(hub, tmp_path / folder, **settings)
        started.append(node)
        return node

    yield start
    for node in started:
        node.stop()
