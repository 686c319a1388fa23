"""For all tests: no deadlines, and what one test does to the logger ends with it."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from flwr.log import FLOWER_LOGGER, console_handler

# No assertion on speed, so hypothesis sets no deadline either.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# A shell starts jobs in the background with SIGINT ignored; the commands under test inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def logger_as_it_was() -> Iterator[None]:
    before = FLOWER_LOGGER.level, console_handler.level, console_handler.timestamps
    yield
    FLOWER_LOGGER.setLevel(before[0])
    console_handler.setLevel(before[1])
    console_handler.timestamps = before[2]
