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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the score of the faults' tests (`tests/acceptance/faults`), if they were run.

    It is here because with several processes the one that prints loads no other ``conftest``.
    """
    told = [
        dict(report.user_properties)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call"
    ]
    faults = sorted((each for each in told if "fault" in each), key=lambda each: each["fault"])
    if not faults:
        return
    terminalreporter.section("faults, and after how many seconds their cause is in the terminal")
    for each in faults:
        seconds = each.get("named after")
        verdict = "not named" if seconds is None else f"{seconds:4.1f} s"
        terminalreporter.write_line(f"{each['fault']} {verdict}")
    named = [each["named after"] for each in faults if "named after" in each]
    slowest = f", slowest {max(named):.1f} s" if named else ""
    terminalreporter.write_line(f"{len(named)} of {len(faults)} named{slowest}")
