"""For all tests: no deadlines, and what one test does to the logger ends with it."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from flwr.log import FLOWER_LOGGER, console_handler

# No assertion on speed, so hypothesis sets no deadline either.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


@pytest.fixture(autouse=True)
def logger_as_it_was() -> Iterator[None]:
    before = FLOWER_LOGGER.level, console_handler.level, console_handler.timestamps
    yield
    FLOWER_LOGGER.setLevel(before[0])
    console_handler.setLevel(before[1])
    console_handler.timestamps = before[2]
