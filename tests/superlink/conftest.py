"""Hubs in this process."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_here import HubHere


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[Callable[..., HubHere]]:
    """Return a function that starts a hub."""
    with contextlib.ExitStack() as stack:

        def start(**settings: bool) -> HubHere:
            hub = HubHere(tmp_path, **settings)
            stack.callback(hub.close)
            return hub

        yield start


@pytest.fixture
def hub(start_hub: Callable[..., HubHere]) -> HubHere:
    """Return a hub that keeps everything in memory."""
    return start_hub()
