"""A server with all calls in a thread of its own, and links to it over real sockets."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import FolderShelf, Hub


@pytest.fixture
def shelf(tmp_path: Path) -> FolderShelf:
    return FolderShelf(tmp_path / "shelf")


@pytest.fixture
def hub(shelf: FolderShelf) -> Iterator[Hub]:
    with Hub(shelf) as hub:
        yield hub
